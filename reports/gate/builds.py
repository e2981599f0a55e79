"""Builds base and head: source trees by git, packages by pip, each in its own folder."""

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
    """The repository that contains a file. Raises InvalidScenario: there is none."""
    folder = path.resolve().parent
    try:
        return Path(_git(folder, "rev-parse", "--show-toplevel"))
    except subprocess.CalledProcessError:
        raise InvalidScenario(
            f"{path} is not in a git repository, and the gate compares commits: run it in a clone"
        ) from None
    except FileNotFoundError:
        raise Broken("git is not installed, and the gate compares commits: install git") from None


def commit_of(root: Path, ref: str) -> str:
    """The commit that a branch, tag or hash names. Raises InvalidScenario: there is none."""
    try:
        return _git(root, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
    except subprocess.CalledProcessError:
        if ref == "HEAD":
            raise InvalidScenario(f"{root} has no commit yet: commit the files first") from None
        raise InvalidScenario(
            f"--base {ref} is not a commit of {root}: fetch it (actions/checkout needs fetch-depth: 0), or name another"
        ) from None


def branched_from(root: Path, ref: str) -> str:
    """The commit to compare with: the last one that the present commit has in common with `ref`.

    If the present commit is on `ref` itself and nothing is changed since, it is the commit before, if there is one.
    """
    commit = commit_of(root, ref)
    try:
        left = _git(root, "merge-base", commit, "HEAD")
    except subprocess.CalledProcessError:
        return commit  # no common commit, as in a shallow clone
    if left == commit_of(root, "HEAD") and not _git(root, "status", "--porcelain", "--untracked-files=no"):
        with suppress(subprocess.CalledProcessError):
            return _git(root, "rev-parse", "--verify", "--quiet", "HEAD^")
    return left


def head_of(root: Path) -> str:
    """The present commit, with "-dirty" if the working tree differs. Raises InvalidScenario: there is no commit."""
    commit_of(root, "HEAD")
    return _git(root, "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty")


def source_tree(root: Path, commit: str, builds: Path) -> Path:
    """A folder with the files of a commit, kept for later gates; for `WORKING_TREE`, the repository itself."""
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


def install_package(root: Path, commit: str, builds: Path, *, options: Sequence[str] = ()) -> Path:
    """Install the package of a commit into its own folder, which can go first on PYTHONPATH; returns the folder.

    Args:
        commit: or `WORKING_TREE`, which is always built again.
        builds: folder of all builds.
        options: further options of pip, such as ("-C", "cmake.define.WARPGROUP_SLOWER=5").

    Raises Broken: the commit does not build.
    """
    source = source_tree(root, commit, builds)
    what = "\0".join([platform.python_version(), *_compilers(), *options])
    kind = hashlib.sha256(what.encode()).hexdigest()[:8]
    name = "head" if commit == WORKING_TREE else commit[:12]
    site = builds / name / f"site-{kind}"
    if site.exists() and commit != WORKING_TREE:
        return site
    partial = site.with_name(site.name + ".part")
    for folder in (site, partial):
        shutil.rmtree(folder, ignore_errors=True)
    # If the build backend is installed here, pip uses it; otherwise pip fetches it.
    isolation = [] if importlib.util.find_spec("scikit_build_core") is None else ["--no-build-isolation"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *isolation, *options]
    done = subprocess.run(
        [*command, "--target", str(partial), str(source)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["pip printed nothing"]
        raise Broken(f"{commit[:12]} does not build: {lines[-1]}; see: {' '.join(command[2:])}")
    partial.rename(site)
    return site


def _compilers() -> list[str]:
    """What a build depends on besides its source: a build by another compiler is not reused."""
    if shutil.which("c++") is None:
        return []
    said = subprocess.run(["c++", "--version"], capture_output=True, text=True, check=False).stdout
    return [said.partition("\n")[0]]


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
