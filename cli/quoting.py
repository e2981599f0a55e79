"""Text of a file or an argument, as an error shows it."""

LONGEST = 40
"""An error shows at most so many characters of what it quotes."""


def quoted(text: str) -> str:
    """The text in quotation marks, cut after `LONGEST` characters, each unprintable one as '?'."""
    shown = "".join(each if each.isprintable() else "?" for each in text[:LONGEST])
    return f"'{shown}...'" if len(text) > LONGEST else f"'{shown}'"
