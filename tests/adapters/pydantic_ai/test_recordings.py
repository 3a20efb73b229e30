"""Real recorded responses of providers, replayed: every fact that a recording holds is in the spans.

The recordings lie beside the checkout or where ``LUCIDIC_RECORDINGS`` points; without them the test
is skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


CHECKOUT = Path(__file__).resolve().parents[3]
RECORDINGS = Path(os.environ.get("LUCIDIC_RECORDINGS") or CHECKOUT.parent / "shared" / "recordings")
SUBJECT = """
import lucidic as lai
from lucidic.testing import capture_spans
from subjects.base import OtelSubject
class S(OtelSubject):
    name = "ours"
    def instrument(self, provider, framework):
        self.capture = capture_spans()
        self.capture.__enter__()
        lai.instrument("pydantic_ai", tracer_provider=provider)
    def session(self, session_id):
        return lai.bind_session(session_id)
"""
PROVIDERS_OWN = {"call0.in.builtin_tools", "call1.in.builtin_tools"}
"""PydanticAI keeps the dated name under which Anthropic knows code execution to itself."""


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_fact(tmp_path, version):
    """Messages, media, tools, tokens, reasoning, refusals, errors and turns are as recorded."""
    if not (RECORDINGS / "drivers" / "drive_pydantic_ai.py").is_file():
        pytest.skip(f"no recordings at {RECORDINGS}; LUCIDIC_RECORDINGS names another place")
    if sys.version_info < (3, 11):
        pytest.skip("the last PydanticAI for Python 3.10 does not work with today's anthropic")
    if version < (2, 50):
        pytest.skip("the driver of the recordings needs a newer PydanticAI")
    for path in RECORDINGS.iterdir():
        if path.name != "subjects":
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "subjects").mkdir()
    for path in (RECORDINGS / "subjects").glob("*.py"):
        (tmp_path / "subjects" / path.name).write_text(path.read_text())
    (tmp_path / "subjects" / "ours.py").write_text(SUBJECT)
    done = subprocess.run(
        [sys.executable, "drivers/drive_pydantic_ai.py", "--subject", "ours", "--out", "facts.json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "LUCIDIC_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads((tmp_path / "facts.json").read_text())
    missing = {
        f"{row['name']} {fact}: {note}"
        for row in rows
        for fact, found, note in row.get("facts", ())
        if not found and not (row["name"] == "anth_code_execution" and fact in PROVIDERS_OWN)
    }
    assert missing == set()
    assert [row["name"] for row in rows if "facts" not in row] == []
