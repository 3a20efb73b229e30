"""Other tracers in the same process: each keeps what it sees, and ours is what it is alone."""

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

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("beside.py")
EXTRAS = ("langchain", "pydantic-ai", "openai-agents", "openai")
MODELS = ["langchain-openai", "pydantic-ai-slim[openai]"]


@pytest.fixture(scope="module")
def run(environment):
    """Run the frameworks beside another tracer, in an environment that has them all."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    needed = project["dependency-groups"]["others"] + project["project"]["dependencies"]
    needed += [item for extra in EXTRAS for item in extras[extra]] + MODELS
    python = environment(*needed, constraints=ROOT / "requirements" / "constraints.txt")
    path = os.pathsep.join((str(ROOT / "core"), str(ROOT / "adapters")))

    def run(*arguments):
        ran = subprocess.run(
            [python, "-W", "ignore", SCRIPT, *arguments],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=500,
        )
        assert 0 == ran.returncode, ran.stderr
        return json.loads(ran.stdout.splitlines()[-1])

    return run


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("other", ["openinference", "openllmetry", "logfire", "langfuse"])
def test_beside_another_tracer_every_span_of_ours_is_made_once(run, other):
    """One trace, one session on every span, the tokens once, no word of trouble; the other's provider stays."""
    seen = run(other, "them first")

    assert 18 == len(seen["ours"])
    assert 1 == seen["traces"]
    assert ["user_0001_conv_0001"] == seen["sessions"]
    assert 577 == seen["tokens"]
    assert [] == seen["dangling"] == seen["twice"]
    assert not seen["replaced"]
    assert [] == [line for line in seen["logs"] if line.startswith("lucidic")]
    assert 18 == seen["they_see_us"]
    assert seen["theirs"]
