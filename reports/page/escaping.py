"""Text from users and files, made safe for where it is shown: on one line, or in GitHub Markdown."""

import re
import unicodedata
from html import escape

# As character references these have no meaning in Markdown. A zero-width space prevents a mention.
_MARKS = str.maketrans({mark: f"&#{ord(mark)};" for mark in "\\`*_[]#|~$"} | {"@": "@&#8203;"})


def line(text: str, most: int) -> str:
    """The text on one line of at most `most` characters.

    Characters that can harm a terminal, an XML file or a page are replaced: control characters, lone surrogates, and
    invisible ones that change the direction of writing.
    """
    clean = _visible(text[: 4 * most])
    clean = " ".join(clean.split())
    return clean if len(clean) <= most else clean[: most - 1] + "…"


def markdown_text(text: str, most: int) -> str:
    """The text as Markdown without links, on one line of at most `most` visible characters."""
    marked = escape(line(text, most), quote=False).translate(_MARKS)
    return marked.replace("://", "&#58;//").replace("www.", "www&#46;")


def markdown_code(text: str, most: int) -> str:
    """The same as code."""
    return f"<code>{markdown_text(text, most)}</code>"


def markdown_block(text: str, language: str) -> str:
    """The text as a block of code, line by line. Its fence is longer than any run of backticks in it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    lines = "\n".join(map(_visible, text.split("\n")))
    return f"{fence}{language}\n{lines}\n{fence}\n"


def _visible(text: str) -> str:
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isspace():
        return " "
    is_hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs") or character in "\ufffe\uffff"
    return "\N{REPLACEMENT CHARACTER}" if is_hidden else character
