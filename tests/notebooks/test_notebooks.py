"""Every notebook runs from top to bottom, against the scripted server."""

from __future__ import annotations

import nbformat
import pytest
from tests.notebooks.save import FOLDER, run, shown


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path, tmp_path):
    """No cell raises, what each shows is of the kinds of its saved output, and short values are the same."""
    saved = nbformat.read(path, as_version=4)
    assert any(cell.get("outputs") for cell in saved.cells), "saved with its outputs"
    ran = run(path, tmp_path)
    assert [shown(cell) for cell in saved.cells] == [shown(cell) for cell in ran.cells]
    assert [value(cell) for cell in saved.cells] == [value(cell) for cell in ran.cells]


def value(cell) -> str | None:
    """Return a cell's last value as text, if it is a line of its own: no table, no picture of a session."""
    texts = [output.data.get("text/plain", "") for output in cell.get("outputs", []) if "data" in output]
    return texts[-1] if texts and "\n" not in texts[-1] else None
