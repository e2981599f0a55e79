"""HTML pages from the templates. Each is one self-contained file."""

from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import OutputRefused
from ..numbers import typeset

if TYPE_CHECKING:
    from jinja2 import Environment


def render_page(template: str, **values: Any) -> str:
    """The page of a template. The same values give the same bytes."""
    return _environment().get_template(template).render(**values, script_hash=script_and_hash()[1])


@cache
def script_and_hash() -> tuple[str, str]:
    """The one script of all pages, and its hash for the Content-Security-Policy, which forbids any other script."""
    element = _environment().get_template("script.html.jinja").render()
    script = element.removeprefix("<script>").removesuffix("</script>")
    return script, f"sha256-{b64encode(sha256(script.encode()).digest()).decode()}"


def write_page(page: str, path: Path) -> None:
    """Write the page atomically. Raises OutputRefused if it cannot be written."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(page, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise OutputRefused(f"cannot write {path}: {error.strerror}; choose another place") from None


def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("warpgroup.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["typeset"] = typeset
    return environment
