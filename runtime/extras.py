"""How a user installs the optional packages that the runtime needs."""


def install_command(extra: str, *, options: str = "") -> str:
    """The command that installs an extra of pyproject.toml. WarpGroup is not on PyPI: it is installed from a clone."""
    return f"pip install {options}'.[{extra}]' in a clone of warpgroup"
