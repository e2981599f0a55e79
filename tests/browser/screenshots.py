"""Pictures of a page as readers see it: python tests/browser/screenshots.py REPORT.html FOLDER."""

import sys
from pathlib import Path

from driver import PRINTED, SCHEMES, WIDTHS, chromium, pdf, screenshot, show


def take(page: Path, folder: Path) -> None:
    """One PNG of the whole page for each width and scheme, one as it is printed, and the PDF."""
    folder.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        for width in WIDTHS:
            for scheme in SCHEMES:
                show(browser, page.resolve().as_uri(), width=width, scheme=scheme)
                (folder / f"{page.stem}-{width}-{scheme}.png").write_bytes(screenshot(browser, width))
        show(browser, page.resolve().as_uri(), width=PRINTED, media="print")
        (folder / f"{page.stem}-print.png").write_bytes(screenshot(browser, PRINTED))
        (folder / f"{page.stem}.pdf").write_bytes(pdf(browser))


if __name__ == "__main__":
    if len(sys.argv) != 3 or not Path(sys.argv[1]).is_file():
        sys.exit(__doc__)
    take(Path(sys.argv[1]), Path(sys.argv[2]))
