"""HTML pages from the templates: each one file that needs nothing but itself."""

from pathlib import Path
from typing import Any

from ..errors import OutputRefused


def render_page(template: str, **values: Any) -> str:
    """The page. The same values give the same bytes."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def write_page(page: str, path: Path) -> None:
    """Whole or not at all. Raises OutputRefused."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(page, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise OutputRefused(f"cannot write {path}: {error.strerror}; choose another place") from None
