"""What commands and Python functions use where nothing is said."""

DEFAULT_SCENARIO = "mixed-24"
DEFAULT_POLICIES = "count-static,count-continuous,paged,ffd"

MOST_SEED = 2**62
"""Seeds that follow it must fit 64 bits too."""
