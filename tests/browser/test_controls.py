"""What can be done on a page, with a mouse and with a keyboard."""

import pytest
from browser.driver import show

SORTABLE = "table:has(thead button)"
COLUMN = "return [...arguments[0].tBodies[0].rows].map((row) => row.cells[arguments[1]].dataset.value)"


@pytest.fixture
def page(browser, url_of):
    from selenium.webdriver.common.by import By

    show(browser, url_of("comparison"))
    return lambda selector: browser.find_elements(By.CSS_SELECTOR, selector)


def assert_sorted(values: list[str], *, down: bool) -> None:
    """What has no value comes last either way."""
    known = [float(value) for value in values if value]
    assert known == sorted(known, reverse=down)
    assert all(values[: len(known)])


@pytest.mark.parametrize("act", ["click", "enter", "space"])
def test_every_column_sorts_down_and_up(browser, page, act):
    from selenium.webdriver.common.keys import Keys

    tables = page(SORTABLE)
    assert tables
    for table in tables:
        heads = table.find_elements("css selector", "thead th")
        assert len(heads) > 3
        for column, head in enumerate(heads):
            button = head.find_element("css selector", "button")
            for direction in ("descending", "ascending"):
                button.click() if act == "click" else button.send_keys(Keys.ENTER if act == "enter" else Keys.SPACE)
                assert_sorted(browser.execute_script(COLUMN, table, column), down=direction == "descending")
                assert head.get_attribute("aria-sort") == direction
            assert len(table.find_elements("css selector", "[aria-sort]")) == 1


def test_the_keyboard_reaches_whatever_can_be_pressed_or_scrolled(browser, page):
    from selenium.webdriver.common.keys import Keys

    wanted = [each for each in page("button, a[href], summary, [tabindex='0']") if each.is_displayed()]
    reached = set()
    for _ in range(2 * len(wanted)):  # once round from wherever the browser begins
        browser.switch_to.active_element.send_keys(Keys.TAB)
        reached.add(browser.switch_to.active_element)
    assert [each.get_attribute("outerHTML")[:100] for each in wanted if each not in reached] == []


def test_focus_can_be_seen(browser, page):
    from selenium.webdriver.common.keys import Keys

    page("body")[0].send_keys(Keys.TAB)
    unseen = []
    for _ in range(10):
        style = browser.execute_script(
            "const s = getComputedStyle(document.activeElement); return [s.outlineStyle, s.outlineWidth]"
        )
        if style[0] == "none" or style[1] == "0px":
            unseen.append(browser.switch_to.active_element.get_attribute("outerHTML")[:100])
        browser.switch_to.active_element.send_keys(Keys.TAB)
    assert unseen == []


def test_the_command_is_copied(browser, page):
    browser.execute_cdp_cmd(
        "Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    )
    button = page("button.copy")[0]
    wanted = page(f"#{button.get_attribute('data-copies')}")[0].text
    button.click()
    copied = browser.execute_async_script("const done = arguments[0]; navigator.clipboard.readText().then(done)")
    assert copied.split() == wanted.split()
    assert button.text == "copied"
