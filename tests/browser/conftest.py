"""One browser for all tests, and one page of each kind."""

import shutil
from collections.abc import Callable
from functools import cache

import pytest
from browser.driver import chromium
from browser.pages import PAGES


@pytest.fixture(scope="session")
def browser():
    pytest.importorskip("selenium")
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"there is no {' and no '.join(missing)}: apt-get install chromium chromium-driver")
    with chromium() as driver:
        yield driver


@pytest.fixture(scope="session")
def url_of(tmp_path_factory) -> Callable[[str], str]:
    """The URL of a page by its name; written when it is first asked for."""
    folder = tmp_path_factory.mktemp("pages")

    @cache
    def url(name: str) -> str:
        path = folder / f"{name.replace(' ', '-')}.html"
        PAGES[name](path)
        return path.as_uri()

    return url
