"""The text of a transform, as the record of a run keeps it, and what the text says about seeds.

Records hold the texts for good, so a reader of records asks here and never takes a text apart itself.
"""

_SEED = ", seed "
_RESHUFFLED = ("reshuffled", "dealt anew")
"""The second is what records from before December 2026 say."""


def seeded(text: str, seed: int) -> str:
    """The text of a transform that draws at random."""
    return f"{text}{_SEED}{seed}"


def without_seed(transform: str) -> str:
    """The same text for every seed."""
    return transform.partition(_SEED)[0]


def reshuffle_text(seed: int) -> str:
    """The text of `reshuffled`."""
    return seeded(_RESHUFFLED[0], seed)


def is_reshuffle(transform: str) -> bool:
    """Whether this is the text of `reshuffled`, from a record of any age."""
    return without_seed(transform) in _RESHUFFLED
