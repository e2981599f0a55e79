"""The error of a gate that cannot measure."""


class Broken(Exception):
    """The gate cannot measure something, so its result is unknown. One line: what, where, remedy."""
