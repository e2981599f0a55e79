"""The script of the pages: small, the only one that may run, and what it does to tables and buttons."""

import gzip
import re
import shutil
import time
from base64 import b64encode
from hashlib import sha256

import pytest
from browser.driver import chromium, show, without_javascript

from warpgroup.reports.comparison.downloads import Download, Downloads
from warpgroup.reports.page.page import render_page, script_and_hash

HOSTILE = "</script><img src=x onerror=window.hit=1><script>window.hit=1</script>"
PACKED = gzip.compress(b"id\n1\n", mtime=0)
CELLS = """
return [...document.querySelectorAll("tbody tr")].map((row) => row.cells[arguments[0]].textContent);
"""
TABLE = """
<table class="sortable">
<thead><tr><th title="who it is">name</th><th title="how much <b>">size</th><th>note</th></tr></thead>
<tbody>
<tr><td>ten</td><td data-value="10">10 KiB</td><td>b 10</td></tr>
<tr><td>none</td><td data-value="inf">-</td><td></td></tr>
<tr><td>nine</td><td data-value="9">9 KiB</td><td>b 9</td></tr>
<tr><td>thousand</td><td data-value="1e3">1 MiB</td><td>a</td></tr>
</tbody></table>
<pre id="command">warpgroup compare --out 'a  b'</pre>
<button class="copy" type="button" data-copies="command" hidden>copy</button>
"""


@pytest.fixture(scope="module")
def page() -> str:
    url = f"data:application/gzip;base64,{b64encode(PACKED).decode()}"
    files = Downloads([Download("requests.csv.gz", HOSTILE, url)], requests_left_out=False)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>a page</title>'
        + render_page("content_policy.html.jinja")
        + f"</head><body>{TABLE}{render_page('downloads.html.jinja', downloads=files)}"
        + render_page("script.html.jinja")
        + f"<p>{HOSTILE}</p></body></html>"
    )


def test_the_script_is_at_most_3_kib():
    assert len(render_page("script.html.jinja").encode()) <= 3072


def test_the_policy_names_the_hash_of_what_stands_between_the_tags(page):
    script = re.search(r"<script>(.*?)</script>", page, flags=re.DOTALL)[1]
    assert script == script_and_hash()[0]
    named = f"sha256-{b64encode(sha256(script.encode()).digest()).decode()}"
    assert script_and_hash()[1] == named
    assert f"script-src '{named}';" in render_page("content_policy.html.jinja")
    assert "default-src 'none'" in render_page("content_policy.html.jinja")


@pytest.mark.parametrize("template", ["script", "downloads", "report", "gate", "validation"])
def test_no_template_has_a_script_of_its_own_or_a_handler_in_a_tag(template):
    import jinja2

    source = jinja2.PackageLoader("warpgroup.reports").get_source(jinja2.Environment(), f"{template}.html.jinja")[0]
    assert not re.search(r"<[^>{]*\son\w+\s*=", source)
    assert source.count("<script") == (template == "script")


@pytest.fixture(scope="module")
def browser():
    pytest.importorskip("selenium")
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.skip("there is no chromium or no chromedriver")
    with chromium() as driver:
        yield driver


@pytest.fixture
def elements(browser, page, tmp_path):
    from selenium.webdriver.common.by import By

    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    show(browser, (tmp_path / "page.html").as_uri())
    return lambda selector: browser.find_elements(By.CSS_SELECTOR, selector)


def test_a_script_that_is_not_ours_does_not_run(browser, elements):
    assert len(elements("script")) >= 2
    assert len(elements("img")) == 1
    time.sleep(0.1)
    assert browser.execute_script("return window.hit") is None


def test_without_the_policy_it_would(browser, page, tmp_path):
    (tmp_path / "page.html").write_text(page.replace(render_page("content_policy.html.jinja"), ""), encoding="utf-8")
    show(browser, (tmp_path / "page.html").as_uri())
    assert browser.execute_script("return window.hit") == 1


@pytest.mark.parametrize(
    ("column", "down"),
    [(1, ["1 MiB", "10 KiB", "9 KiB", "-"]), (0, ["thousand", "ten", "none", "nine"]), (2, ["b 10", "b 9", "a", ""])],
)
@pytest.mark.parametrize("act", ["click", "enter", "space"])
def test_columns_sort_by_number_or_by_text_and_what_is_missing_comes_last(browser, elements, column, down, act):
    from selenium.webdriver.common.keys import Keys

    known = [text for text in down if text not in ("-", "")]
    up = [*reversed(known), *down[len(known) :]]
    button, head = elements("thead button")[column], elements("thead th")[column]
    for direction, wanted in (("descending", down), ("ascending", up), ("descending", down)):
        if act == "click":
            button.click()
        else:
            button.send_keys(Keys.ENTER if act == "enter" else Keys.SPACE)
        assert browser.execute_script(CELLS, column) == wanted
        assert head.get_attribute("aria-sort") == direction
        assert len(elements("[aria-sort]")) == 1


def test_what_a_head_means_shows_when_it_has_the_focus(browser, elements):
    button, (name, size) = elements("thead button")[1], elements("[role=tooltip]")
    assert not size.is_displayed()
    browser.execute_script("arguments[0].focus()", button)
    assert size.is_displayed()
    assert size.text == "how much <b>"
    assert button.get_attribute("aria-describedby") == size.get_attribute("id")
    button.send_keys("\ue00c")  # Escape
    assert not size.is_displayed()
    browser.execute_script("arguments[0].focus()", elements("thead button")[0])
    assert name.is_displayed()


def test_a_command_is_copied_as_it_stands(browser, elements):
    permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"]
    browser.execute_cdp_cmd("Browser.grantPermissions", {"permissions": permissions})
    (button,) = elements("button.copy")
    button.click()
    copied = browser.execute_async_script("const done = arguments[0]; navigator.clipboard.readText().then(done)")
    assert copied == "warpgroup compare --out 'a  b'"
    assert button.text == "copied"


@pytest.mark.parametrize("scripts", [True, False])
def test_a_file_is_saved_with_and_without_javascript(browser, elements, page, tmp_path, scripts):
    saved = tmp_path / "saved"
    saved.mkdir()
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(saved)})
    if scripts:
        elements("a[download]")[0].click()
    else:
        with without_javascript(browser):
            browser.refresh()
            assert not elements("thead button")
            elements("a[download]")[0].click()
    until = time.monotonic() + 10
    while not (saved / "requests.csv.gz").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert (saved / "requests.csv.gz").read_bytes() == PACKED
