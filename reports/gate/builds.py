"""Base and head, built in the same job: trees by git, packages by pip, each into a folder of its own."""

import hashlib
import importlib.util
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ...errors import InvalidScenario
from .broken import Broken

WORKING_TREE = "working tree"


def root_of(path: Path) -> Path:
    """The repository that a file is in. Raises InvalidScenario: it is in none."""
    folder = path.resolve().parent
    try:
        return Path(_git(folder, "rev-parse", "--show-toplevel"))
    except subprocess.CalledProcessError:
        raise InvalidScenario(f"{path} is in no git repository: counted and timed checks compare commits") from None
    except FileNotFoundError:
        raise Broken("git is not installed: counted and timed checks compare commits") from None


def commit_of(root: Path, ref: str) -> str:
    """The commit that a name stands for. Raises InvalidScenario: there is none."""
    try:
        return _git(root, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
    except subprocess.CalledProcessError:
        if ref == "HEAD":
            raise InvalidScenario(f"{root} has no commit yet: there is nothing to compare with") from None
        raise InvalidScenario(
            f"--base {ref} is no commit of {root}: fetch it (actions/checkout needs fetch-depth: 0), or name another"
        ) from None


def branched_from(root: Path, ref: str) -> str:
    """Where the present commit left `ref`: what a change is compared with, whatever happened there since.

    A commit that is on `ref` itself, with nothing changed since, is compared with the one before it, if there is one.
    """
    commit = commit_of(root, ref)
    try:
        left = _git(root, "merge-base", commit, "HEAD")
    except subprocess.CalledProcessError:
        return commit  # histories without a common commit, as of shallow clones
    if left == commit_of(root, "HEAD") and not _git(root, "status", "--porcelain", "--untracked-files=no"):
        with suppress(subprocess.CalledProcessError):
            return _git(root, "rev-parse", "--verify", "--quiet", "HEAD^")
    return left


def head_of(root: Path) -> str:
    """The present commit, and whether the working tree is another. Raises InvalidScenario: there is none."""
    commit_of(root, "HEAD")
    return _git(root, "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty")


def tree(root: Path, commit: str, builds: Path) -> Path:
    """The files of a commit, in a folder of their own that stays; `WORKING_TREE`: the repository itself."""
    if commit == WORKING_TREE:
        return root
    folder = builds / commit[:12] / "tree"
    if not folder.exists():
        partial = folder.with_name("tree.part")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        archive = subprocess.run(["git", "-C", str(root), "archive", commit], check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", str(partial)], input=archive, check=True)
        partial.rename(folder)
    return folder


def package(root: Path, commit: str, builds: Path, *, options: Sequence[str] = ()) -> Path:
    """The package of a commit, installed into a folder of its own: one that goes first on PYTHONPATH.

    Args:
        options: more of pip's, such as ("-C", "cmake.define.WARPGROUP_SLOWER=5").

    Raises Broken: it does not build.
    """
    source = tree(root, commit, builds)
    what = "\0".join([platform.python_version(), *_compilers(), *options])
    kind = hashlib.sha256(what.encode()).hexdigest()[:8]
    name = "head" if commit == WORKING_TREE else commit[:12]
    site = builds / name / f"site-{kind}"
    if site.exists() and commit != WORKING_TREE:
        return site
    partial = site.with_name(site.name + ".part")
    for folder in (site, partial):
        shutil.rmtree(folder, ignore_errors=True)
    # What built the package that runs now is used again where it is here; else pip fetches it.
    alone = [] if importlib.util.find_spec("scikit_build_core") is None else ["--no-build-isolation"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *alone, *options]
    done = subprocess.run(
        [*command, "--target", str(partial), str(source)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["pip said nothing"]
        raise Broken(f"{commit[:12]} does not build: {lines[-1]}; see: {' '.join(command[2:])}")
    partial.rename(site)
    return site


def _compilers() -> list[str]:
    """What builds depend on beside their source: another compiler's build is not used again."""
    if shutil.which("c++") is None:
        return []
    said = subprocess.run(["c++", "--version"], capture_output=True, text=True, check=False).stdout
    return [said.partition("\n")[0]]


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
