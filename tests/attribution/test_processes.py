"""Cells that need a process of their own, because they change it for good or fork it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_span_has_its_session_in_other_processes_too():
    """Forked children, and loops that are entered again: nothing is wrong, missing or left behind."""
    if find_spec("nest_asyncio") is None:
        pytest.skip("nest_asyncio is not installed")
    ran = subprocess.run(
        [sys.executable, "-m", "tests.attribution", "--apart", "--sample", "--sessions", "3"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        timeout=600,
    )

    assert (0, "") == (ran.returncode, "".join(line for line in ran.stdout.splitlines() if "BAD" in line))
    assert " 0 not as they must be" in ran.stdout
