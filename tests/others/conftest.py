"""The environment that has the other tracers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EXTRAS = ("langchain", "pydantic-ai", "openai-agents", "openai")
MODELS = ["langchain-openai", "pydantic-ai-slim[openai]"]


@pytest.fixture(scope="session")
def run_among_others(environment):
    """Run a script of this folder in an environment that has the other tracers, and return what it prints."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    needed = project["dependency-groups"]["others"] + project["project"]["dependencies"]
    needed += [item for extra in EXTRAS for item in extras[extra]] + MODELS
    python = environment(*needed, constraints=ROOT / "requirements" / "constraints.txt")
    path = os.pathsep.join((str(ROOT / "core"), str(ROOT / "adapters")))

    def run(script, *arguments):
        ran = subprocess.run(
            [python, "-W", "ignore", HERE / script, *arguments],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=500,
        )
        assert 0 == ran.returncode, ran.stderr
        return json.loads(ran.stdout.splitlines()[-1])

    return run
