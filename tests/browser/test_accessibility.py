"""What a reader who sees little, or nothing, or who has no mouse gets of a page."""

from pathlib import Path

import pytest
from browser.driver import SCHEMES, WIDTHS, show
from browser.pages import PAGES

NAMED = [page for page in PAGES if not page.startswith("hostile")]
# axe-core knows nothing of what text in a figure lies upon: here it is asked for, at both ends and in the middle.
CONTRASTS = """
const channels = (colour) => colour.match(/[0-9.]+/g).map(Number);
const over = (style, below) => {
  const [r, g, b, alpha = 1] = channels(style.fill);
  const opacity = alpha * style.opacity * style.fillOpacity;
  return [r, g, b].map((c, i) => opacity * c + (1 - opacity) * below[i]);
};
const luminance = (rgb) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
  const c = rgb[i] / 255;
  return sum + weight * (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
}, 0);
const page = channels(getComputedStyle(document.body).backgroundColor).slice(0, 3);
const contrast = (text, x, y) => {
  const shapes = document.elementsFromPoint(x, y).filter((each) => each.ownerSVGElement && !each.closest("text"));
  const painted = shapes.map((each) => getComputedStyle(each)).filter((style) => style.fill !== "none");
  const ground = painted.reduceRight((below, style) => over(style, below), page);
  const [dark, light] = [ground, over(getComputedStyle(text), ground)].map(luminance).sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
};
return [...document.querySelectorAll("svg text")].map((text) => {
  text.scrollIntoView({ block: "center", inline: "center" });
  const box = text.getBoundingClientRect();
  const at = (share) => contrast(text, box.x + share * box.width, box.y + share * box.height);
  return [text.textContent.trim(), Math.min(at(0.1), at(0.5), at(0.9))];
});
"""


@pytest.fixture(scope="module")
def axe() -> str:
    package = pytest.importorskip("axe_core_python")
    return (Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", NAMED)
def test_axe_finds_no_violation(browser, url_of, axe, page, width, scheme):
    show(browser, url_of(page), width=width, scheme=scheme)
    browser.execute_script("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    browser.execute_script(axe)
    found = browser.execute_async_script(
        "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then(done)"
    )
    assert len(found["passes"]) > 10
    assert [
        f"{each['id']}: {each['help']}: {[node['html'][:200] for node in each['nodes'][:3]]}"
        for each in found["violations"]
    ] == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("page", NAMED)
def test_text_in_figures_stands_out_from_what_it_lies_upon(browser, url_of, page, scheme):
    show(browser, url_of(page), scheme=scheme)
    browser.execute_script("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    contrasts = browser.execute_script(CONTRASTS)
    assert contrasts
    assert [(text, ratio) for text, ratio in contrasts if ratio < 4.5] == []
