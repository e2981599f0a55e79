"""The package: what the wheel holds, and that its version comes from git tags."""

import subprocess
import sys
import tomllib
from importlib import metadata
from importlib.util import module_from_spec, spec_from_file_location

import pytest
from support.paths import REPOSITORY

SETTINGS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def version_of(tree):
    spec = spec_from_file_location("git_version", REPOSITORY / "csrc" / "git_version.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.version_of(tree)


def git(tree, *arguments):
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(tree), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path):
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", "first")
    return tmp_path


def test_the_wheel_maps_every_package_and_module_that_is_there():
    mapped = SETTINGS["tool"]["scikit-build"]["wheel"]["packages"]
    here = {each.name for each in REPOSITORY.iterdir() if each.suffix == ".py" or (each / "__init__.py").exists()}
    assert mapped == {f"warpgroup/{name}": name for name in here}


def test_types_are_checked_in_every_package_and_module_that_is_there():
    named = {*SETTINGS["tool"]["mypy"]["packages"], *SETTINGS["tool"]["mypy"]["modules"]}
    mapped = {
        name.removesuffix(".py").replace("/", ".") for name in SETTINGS["tool"]["scikit-build"]["wheel"]["packages"]
    }
    assert named == {"warpgroup"} | mapped - {"warpgroup.__init__", "warpgroup.__main__"}


def test_an_installed_package_holds_no_tests():
    files = metadata.files("warpgroup") or []
    if not any(file.name == "__main__.py" for file in files):
        pytest.skip("the package is not installed from a wheel")
    assert [str(file) for file in files if "tests" in file.parts or file.suffix in (".cpp", ".hpp")] == []


def test_a_tag_is_the_version(tree):
    git(tree, "tag", "v1.2.0")
    assert version_of(tree) == "1.2.0"


def test_commits_after_a_tag_lead_to_the_next_version(tree):
    git(tree, "tag", "v1.2.0")
    git(tree, "commit", "--quiet", "--allow-empty", "-m", "second")
    assert version_of(tree).startswith("1.2.1.dev1+g")


def test_a_changed_tree_is_no_release(tree):
    (tree / "file").write_text("one")
    git(tree, "add", "file")
    git(tree, "commit", "--quiet", "-m", "second")
    git(tree, "tag", "v1.2.0")
    (tree / "file").write_text("two")
    assert version_of(tree).endswith(".dirty")


def test_without_a_tag_the_version_names_the_commit(tree):
    assert version_of(tree).startswith("0.1.0.dev0+g")


def test_a_tree_without_git_is_unreleased_and_an_sdist_keeps_its_version(tmp_path):
    assert version_of(tmp_path) == "0.1.0.dev0"
    (tmp_path / "PKG-INFO").write_text("Metadata-Version: 2.4\nName: warpgroup\nVersion: 1.2.0\n")
    assert version_of(tmp_path) == "1.2.0"


@pytest.mark.parametrize("workflow", ["release.yml"])
def test_workflows_are_valid_by_githubs_schema(workflow):
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is not installed: pip install '.[dev]'")
    file = REPOSITORY / ".github" / "workflows" / workflow
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(file)]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
