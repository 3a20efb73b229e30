"""Every notebook runs from top to bottom, against the scripted server."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient


NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path, tmp_path, monkeypatch):
    """No cell raises, and the last value is what its saved output shows: text or HTML."""
    monkeypatch.setenv("LUCIDIC_HOME", str(tmp_path / "home"))
    notebook = nbformat.read(path, as_version=4)
    saved = [kind_of(cell) for cell in notebook.cells]

    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()

    assert saved == [kind_of(cell) for cell in notebook.cells]


def kind_of(cell):
    """What a cell shows: the kinds of data of its last output that is not printed."""
    outputs = [output for output in cell.get("outputs", []) if "data" in output]
    return sorted(outputs[-1].data) if outputs else []
