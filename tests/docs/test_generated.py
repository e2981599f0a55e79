"""The pages that come from code are those that the code gives; README stays short."""

import importlib.util

import pytest
from support.paths import REPOSITORY

DOCS = REPOSITORY / "docs"


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["policies.md", "glossary.md", "architecture.md"])
def test_a_generated_page_is_up_to_date(generator, page):
    written = (DOCS / page).read_text(encoding="utf-8")
    assert written == generator.PAGES[page](), f"run `python docs/generate.py`: {page} differs"


def test_when_to_use_is_said_only_of_policies_that_exist(generator):
    assert set(generator.USE) <= {info.id for info in generator.policy_catalogue()}


def test_readme_has_at_most_1200_words():
    assert len((REPOSITORY / "README.md").read_text(encoding="utf-8").split()) <= 1200
