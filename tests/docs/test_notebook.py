"""The notebook of the docs runs from top to bottom, and is kept without outputs."""

from pathlib import Path

import pytest
from support.paths import REPOSITORY

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

NOTEBOOK = REPOSITORY / "docs" / "tutorial.ipynb"


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_is_kept_without_outputs(notebook):
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in cells] == [[]] * len(cells)
    assert {cell.execution_count for cell in cells} == {None}


def shown_by(cell, kind: str) -> str:
    return "".join(output.data.get(kind, "") for output in cell.outputs if "data" in output)


@pytest.mark.filterwarnings("default::DeprecationWarning")  # of the Jupyter libraries
def test_it_goes_from_a_log_to_an_answer_a_plot_and_a_report(notebook, tmp_path: Path):
    done = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    cells = [cell for cell in done.cells if cell.cell_type == "code"]
    answers = [cell for cell in cells if "wg.compare" in cell.source]
    assert all("<table" in shown_by(cell, "text/html") for cell in answers)
    assert sum("image/png" in output.get("data", {}) for cell in cells for output in cell.outputs) == 2
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")
