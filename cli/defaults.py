"""What commands and Python functions use where nothing is said."""

DEFAULT_SCENARIO = "mixed-24"
DEFAULT_POLICIES = "count-static,count-continuous,paged,ffd"
