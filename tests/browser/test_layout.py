"""From a telephone to a wide screen, and on paper, everything can be seen."""

import re

import pytest
from browser.driver import PRINTED, WIDTHS, pdf, show
from browser.pages import PAGES, changed, study

from warpgroup.reports import write_report

LEGIBLE = 11
"""CSS pixels, of the smallest text."""

# Of each text its size as it is seen: figures are drawn to a scale.
SIZES = """
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const sizes = [];
while (walker.nextNode()) {
  const around = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !around.checkVisibility() || around.closest("title, desc")) continue;
  const scale = around.getScreenCTM ? Math.hypot(around.getScreenCTM().a, around.getScreenCTM().b) : 1;
  sizes.push([walker.currentNode.data.trim(), scale * parseFloat(getComputedStyle(around).fontSize)]);
}
return sizes;
"""
# What reaches beyond the right edge and lies in nothing that scrolls.
BEYOND = """
const scrolls = (element) => element && element !== document.body &&
  (/auto|scroll/.test(getComputedStyle(element).overflowX) || scrolls(element.parentElement));
return [...document.body.querySelectorAll("*")]
  .filter((element) => element.getBoundingClientRect().right > innerWidth + 1)
  .filter((element) => !element.ownerSVGElement && !scrolls(element))
  .map((element) => element.outerHTML.slice(0, 150));
"""
# What is cut off on paper, where nothing scrolls.
CUT = """
return [...document.body.querySelectorAll("*")].filter((element) => {
  const hides = getComputedStyle(element).overflowX !== "visible" && element.scrollWidth > element.clientWidth + 1;
  return hides || (!element.ownerSVGElement && element.getBoundingClientRect().right > innerWidth + 1);
}).map((element) => element.outerHTML.slice(0, 150));
"""


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", PAGES)
def test_nothing_reaches_beyond_the_page(browser, url_of, page, width):
    show(browser, url_of(page), width=width)
    assert browser.execute_script("return innerWidth") == width
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script(BEYOND) == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", PAGES)
def test_no_text_is_too_small_to_read(browser, url_of, page, width):
    show(browser, url_of(page), width=width)
    sizes = browser.execute_script(SIZES)
    assert len(sizes) > 20
    assert [(text, size) for text, size in sizes if size < LEGIBLE] == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("end", [" key=value" * 20, "x" * 200])
def test_a_long_name_leaves_room_for_the_rest_of_a_table(browser, tmp_path, width, end):
    page = tmp_path / "long.html"
    write_report(study(lambda run: changed(run, policy=run.info.policy + end)), page)
    show(browser, page.as_uri(), width=width)
    shares = browser.execute_script(
        "return [...document.querySelectorAll('.scroll')].map((box) =>"
        " box.querySelector('tbody tr').cells[0].getBoundingClientRect().width / box.clientWidth)"
    )
    assert len(shares) >= 3
    assert max(shares) < 0.5
    overflowing = "return [...document.querySelectorAll('.tile')].filter((tile) => tile.scrollWidth > tile.clientWidth)"
    assert browser.execute_script(overflowing) == []


@pytest.mark.parametrize("page", PAGES)
def test_on_paper_nothing_is_cut_off(browser, url_of, page):
    show(browser, url_of(page), width=PRINTED, media="print")
    assert browser.execute_script(CUT) == []
    assert re.search(rb"/Type\s*/Page\b", pdf(browser))


@pytest.mark.parametrize("page", PAGES)
def test_paper_is_white_whatever_the_screen(browser, url_of, page):
    show(browser, url_of(page), width=PRINTED, media="print", scheme="dark")
    background, ink = browser.execute_script(
        "const style = getComputedStyle(document.body); return [style.backgroundColor, style.color]"
    )
    assert background in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")
    assert max(map(int, re.findall(r"\d+", ink))) < 100


@pytest.mark.parametrize(("page", "what"), [("validation", "table"), ("gate", "table"), ("comparison", "svg")])
def test_on_paper_nothing_is_folded_away(browser, url_of, page, what):
    heights = (
        f"return [...document.querySelectorAll('details {what}')].map((each) => each.checkVisibility({{"
        "contentVisibilityAuto: true}) ? each.getBoundingClientRect().height : 0)"
    )
    show(browser, url_of(page))
    assert max(browser.execute_script(heights)) == 0
    show(browser, url_of(page), width=PRINTED, media="print")
    printed, seen = len(pdf(browser)), browser.execute_script(heights)
    assert min(seen) > 50
    browser.execute_script("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert printed == pytest.approx(len(pdf(browser)), rel=0.01)


def test_on_paper_colours_that_mean_something_stay(browser, url_of):
    show(browser, url_of("comparison"), width=PRINTED, media="print")
    kept = browser.execute_script(
        "return [...document.querySelectorAll('.bar i, .key')].map((each) => getComputedStyle(each).printColorAdjust)"
    )
    assert set(kept) == {"exact"}
