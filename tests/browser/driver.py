"""Chromium without a head and without a network, driven through chromedriver."""

import base64
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

WIDTHS = (380, 1200, 2400)
SCHEMES = ("light", "dark")
PRINTED = 718
"""CSS pixels between Chromium's usual margins on A4."""


@contextmanager
def chromium() -> "Iterator[Chrome]":
    """A browser that resolves no host name. Both programs are named, so that selenium downloads none."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    offline = "host-resolver-rules=MAP * ~NOTFOUND"
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "hide-scrollbars", offline):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = Chrome(options, Service(executable_path=shutil.which("chromedriver")))
    browser.set_script_timeout(60)
    try:
        yield browser
    finally:
        browser.quit()


def show(browser: "Chrome", url: str, *, width: int = 1200, scheme: str = "light", media: str = "screen") -> None:
    """Load a page in a window of that width in CSS pixels, in a colour scheme, for the screen or for print."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
    browser.get(url)
    # A browser that has only just begun may still be on its first, empty page.
    while browser.execute_script("return document.readyState !== 'complete' || location.href !== arguments[0]", url):
        time.sleep(0.05)


@contextmanager
def without_javascript(browser: "Chrome") -> Iterator[None]:
    """Pages that are loaded meanwhile run no script of their own; we can still ask them."""
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def pdf(browser: "Chrome") -> bytes:
    """The page as it is printed on A4."""
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
    return base64.b64decode(printed["data"])


def requests(browser: "Chrome") -> list[str]:
    """What was asked for since the last call, from whatever scheme; images that stand in the page are data: URLs."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


def screenshot(browser: "Chrome", width: int) -> bytes:
    """The whole page as PNG, as wide as it is shown."""
    height = browser.execute_script("return document.documentElement.scrollHeight")
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    taken = browser.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
    return base64.b64decode(taken["data"])
