"""The documentation builds: every page has its place, every link and every public docstring reads well."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(tmp_path):
    """Sphinx finds nothing to complain of in the pages, their links, or the public docstrings."""
    build = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", str(DOCS)]
    done = subprocess.run([*build, str(tmp_path)], capture_output=True, text=True, timeout=110)

    assert "" == done.stderr
    assert 0 == done.returncode
    for page in ("index", "tutorial", "guides/langchain", "reference/sessions"):
        assert (tmp_path / f"{page}.html").exists()
    assert "lucidic.session" in (tmp_path / "reference/sessions.html").read_text()
