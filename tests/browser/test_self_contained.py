"""A page asks for nothing, complains of nothing, and says the same without its script."""

import pytest
from browser.driver import requests, show, without_javascript
from browser.pages import PAGES

SEEN = """
const hidden = (element) => element.closest("button, script");
return {
  lines: document.body.innerText.split("\\n").map((line) => line.trim()).filter(Boolean),
  figures: document.querySelectorAll("svg").length,
  downloads: [...document.querySelectorAll("a[download]")].map((link) => [link.download, link.href]),
};
"""


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_asked_for_but_the_page(browser, url_of, page):
    requests(browser)
    show(browser, url_of(page))
    assert {url for url in requests(browser) if not url.startswith("data:")} == {url_of(page)}


@pytest.mark.parametrize("page", PAGES)
def test_the_browser_has_nothing_to_complain_of(browser, url_of, page):
    browser.get_log("browser")
    show(browser, url_of(page))
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("page", PAGES)
def test_without_javascript_everything_is_there(browser, url_of, page):
    show(browser, url_of(page))
    full = browser.execute_script(SEEN)
    with without_javascript(browser):
        show(browser, url_of(page))
        assert browser.execute_script("return document.querySelectorAll('thead button').length") == 0
        plain = browser.execute_script(SEEN)
    assert set(full["lines"]) - set(plain["lines"]) <= {"copy"}
    assert (plain["figures"], plain["downloads"]) == (full["figures"], full["downloads"])


@pytest.mark.parametrize("page", [page for page in PAGES if not page.startswith("hostile")])
def test_markup_that_did_get_in_could_load_nothing_and_run_nothing(browser, url_of, page):
    show(browser, url_of(page))
    blocked = browser.execute_async_script(
        """
        const [markup, done] = arguments;
        const blocked = [];
        addEventListener("securitypolicyviolation", (event) => blocked.push(event.effectiveDirective));
        document.body.insertAdjacentHTML("beforeend", markup);
        setTimeout(() => done([window.hit ?? null, ...blocked]), 300);
        """,
        '<img src="https://example.org/image.png" onerror="window.hit = 1">',
    )
    assert blocked[0] is None
    assert {"img-src", "script-src-attr"} <= set(blocked)
    browser.get_log("browser")
