"""Run the notebooks and keep what they show: ``python -m tests.notebooks.save [NAME …]``."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient


FOLDER = Path(__file__).parents[2] / "notebooks"


def run(path: Path, home: Path) -> nbformat.NotebookNode:
    """Run a notebook from top to bottom in an empty folder, with a store of its own."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": home}}
    )
    client.execute(env={**os.environ, "LUCIDIC_HOME": str(home / "home")})
    return notebook


def shown(cell) -> list[str]:
    """Return the kinds of data of a cell's last output that is not printed."""
    outputs = [output for output in cell.get("outputs", []) if "data" in output]
    return sorted(outputs[-1].data) if outputs else []


def main(names: list[str]) -> None:
    for path in sorted(FOLDER.glob("*.ipynb")):
        if names and path.stem not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            notebook = run(path, Path(folder))
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)
            if cell.cell_type == "code":
                cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        notebook.metadata = {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
        nbformat.write(notebook, path)
        print(path.name, [kinds for cell in notebook.cells if (kinds := shown(cell))])


if __name__ == "__main__":
    main(sys.argv[1:])
