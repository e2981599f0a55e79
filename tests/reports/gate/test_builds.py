"""The commit that a change is compared with."""

from pathlib import Path

import pytest
from support.gate_repository import git

from warpgroup.errors import InvalidScenario
from warpgroup.reports.gate.builds import branched_from, commit_of, head_of


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits, `first` and `main`."""
    git(tmp_path, "init", "-q", "-b", "main")
    for text in ("first", "second"):
        (tmp_path / "file").write_text(text)
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-q", "-m", text)
        if text == "first":
            git(tmp_path, "tag", "first")
    return tmp_path


def test_a_branch_is_compared_with_the_last_common_commit(repository):
    git(repository, "checkout", "-q", "-b", "change", "first")
    git(repository, "commit", "-q", "--allow-empty", "-m", "change")
    assert branched_from(repository, "main") == commit_of(repository, "first")


def test_a_commit_on_the_base_itself_is_compared_with_the_one_before_it(repository):
    assert branched_from(repository, "main") == commit_of(repository, "first")


def test_uncommitted_changes_on_the_base_are_compared_with_its_last_commit(repository):
    (repository / "file").write_text("third")
    assert branched_from(repository, "main") == commit_of(repository, "main")
    assert head_of(repository).endswith("-dirty")


def test_the_first_commit_is_compared_with_itself(repository):
    git(repository, "checkout", "-q", "first")
    assert branched_from(repository, "first") == commit_of(repository, "first")


def test_histories_without_a_common_commit_are_compared_with_the_base(repository):
    git(repository, "checkout", "-q", "--orphan", "other")
    git(repository, "commit", "-q", "-m", "other")
    assert branched_from(repository, "main") == commit_of(repository, "main")


def test_an_unknown_base_is_refused(repository):
    with pytest.raises(InvalidScenario, match="--base nowhere is not a commit"):
        branched_from(repository, "nowhere")
