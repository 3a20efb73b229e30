"""Real provider responses, replayed, where the recordings lie beside the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


CHECKOUT = Path(__file__).parents[3]
RECORDINGS = Path(os.environ.get("LUCIDIC_RECORDINGS") or CHECKOUT.parent / "shared" / "recordings")

SUBJECT = """
from subjects.base import OtelSubject
import agents
import lucidic as lai
from lucidic.openai_agents import LucidicTracingProcessor


class S(OtelSubject):
    name = "lucidic"

    def instrument(self, provider, framework):
        agents.set_trace_processors([])
        if {alone}:
            agents.add_trace_processor(LucidicTracingProcessor())
        else:
            lai.instrument("openai_agents")

    def session(self, session_id):
        return lai.bind_session(session_id)
"""


@pytest.mark.slow
@pytest.mark.skipif(not RECORDINGS.is_dir(), reason=f"no recordings at {RECORDINGS}; set LUCIDIC_RECORDINGS")
@pytest.mark.parametrize("alone", [False, True], ids=["instrument", "processor alone"])
def test_every_fact_of_the_recordings_is_on_the_spans(tmp_path, alone):
    """Messages, tools, tokens, errors and roots of every recording that the SDK can act out."""
    package = tmp_path / "subjects"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "base.py").write_text((RECORDINGS / "subjects" / "base.py").read_text())
    (package / "lucidic_agents.py").write_text(SUBJECT.format(alone=alone))
    # The package comes first on the path; the driver puts the recordings' own folder before it otherwise.
    start = (
        "import runpy, sys; sys.path.insert(0, sys.argv[1]); import subjects.lucidic_agents; "
        "driver = sys.argv[2]; sys.argv[1:] = sys.argv[3:]; runpy.run_path(driver, run_name='__main__')"
    )
    driver, out = RECORDINGS / "drivers" / "drive_openai_agents.py", tmp_path / "out.json"
    options = ["--subject", "lucidic_agents", "--set", "given", "--out", str(out)]
    command = [sys.executable, "-c", start, str(tmp_path), str(driver), *options]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True, timeout=100)
    rows = [row for row in json.loads(out.read_text()) if "facts" in row]
    assert len(rows) >= 29
    assert [] == [(row["name"], fact) for row in rows for fact in row["facts"] if not fact[1]]
