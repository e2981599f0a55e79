"""What a gate raises when it cannot know."""


class Broken(Exception):
    """A harness problem: nothing is known. One line: what, where, remedy."""
