"""The package's version, from git tags: a build plugin of scikit-build-core (pyproject.toml names it), not installed.

A commit with the tag `v1.2.0` builds version 1.2.0; five commits later it is 1.2.1.dev5+g<commit>. An sdist carries the
version that it was made with in its PKG-INFO. A tree with neither builds `UNRELEASED`.
"""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

UNRELEASED = "0.1.0.dev0"
"""The version before the first tag."""

_DESCRIBED = re.compile(r"v(?P<release>\d+(?:\.\d+)*)-(?P<commits>\d+)-g(?P<commit>[0-9a-f]+)(?P<dirty>-dirty)?")


def dynamic_metadata(settings: Mapping[str, Any], project: Mapping[str, Any]) -> dict[str, str]:
    """What scikit-build-core asks for: the fields of `[project]` that this plugin gives."""
    return {"version": version_of(Path.cwd())}


def version_of(tree: Path) -> str:
    """The version of a source tree, by PEP 440."""
    if (recorded := tree / "PKG-INFO").is_file():
        return next(line[9:] for line in recorded.read_text(encoding="utf-8").splitlines() if line[:9] == "Version: ")
    if not (tree / ".git").exists():
        return UNRELEASED
    described = _git(tree, "describe", "--tags", "--long", "--dirty", "--match", "v[0-9]*")
    match = _DESCRIBED.fullmatch(described)
    if match is None:  # no tag yet, or a clone without tags
        commit = _git(tree, "rev-parse", "--short", "HEAD")
        return UNRELEASED + (f"+g{commit}" if commit else "")
    if match["commits"] == "0" and not match["dirty"]:
        return match["release"]
    *first, last = match["release"].split(".")
    following = ".".join([*first, str(int(last) + 1)])
    return f"{following}.dev{match['commits']}+g{match['commit']}" + (".dirty" if match["dirty"] else "")


def _git(tree: Path, *arguments: str) -> str:
    """Output of a git command; empty where git is missing or refuses."""
    try:
        done = subprocess.run(["git", "-C", str(tree), *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
