"""What an error quotes of a file is short, and in one line."""

from hypothesis import given
from hypothesis import strategies as st

from warpgroup.errors import quoted


@given(content=st.text() | st.binary())
def test_any_content_is_quoted_in_at_most_40_printable_characters(content):
    shown = quoted(content)
    assert shown[0] == shown[-1] == "'"
    assert shown.isprintable()
    assert len(shown.removesuffix("...'").strip("'")) <= 40


def test_what_is_cut_is_marked():
    assert quoted("a,b\n") == "'a,b'"
    assert quoted(b"x" * 41) == f"'{'x' * 40}...'"
    assert quoted("tab\there") == "'tab?here'"
    assert quoted(None) == "'None'"
