"""What comes from a user shows as text, in HTML and in SVG, and is never run."""

import pytest
from browser.driver import show
from browser.pages import HOSTILE, MARKUP, PAGES


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("hostile")])
def test_markup_in_names_is_shown_and_not_run(browser, url_of, page):
    show(browser, url_of(page))
    browser.execute_script("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert browser.execute_script("return window.hit") is None
    assert browser.execute_script("return document.querySelectorAll('img').length") == 0
    assert browser.execute_script("return document.body.innerText").count(HOSTILE) >= 3


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("hostile")])
def test_markup_in_names_is_shown_in_figures(browser, url_of, page):
    show(browser, url_of(page))
    texts = browser.execute_script(
        "return [...document.querySelectorAll('svg')].map((svg) => svg.textContent.replace(/\\\\s+/g, ' '))"
    )
    assert texts
    assert all(MARKUP in text for text in texts)


def test_markup_in_names_leaves_the_page_as_it_would_be(browser, url_of):
    """The same elements as the page of the same runs with names that are names, but for the script's parents."""
    kinds = "return [...new Set([...document.querySelectorAll('*')].map((each) => each.localName))].sort()"
    show(browser, url_of("comparison"))
    known = browser.execute_script(kinds)
    show(browser, url_of("hostile comparison"))
    assert browser.execute_script(kinds) == known
