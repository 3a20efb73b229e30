"""Run an adapter's tests with the oldest releases of its framework that pyproject.toml admits.

    python -m tests.floors openai_agents [pytest's options]

Of the framework's extra the floors are installed, of everything else the newest that goes with them. Tests that
need another framework are skipped there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.environments import make_environment


ROOT = Path(__file__).parents[1]
EXTRAS = {"langchain": "langchain", "openai_agents": "openai-agents", "pydantic_ai": "pydantic-ai"}
ALSO = {
    "langchain": ["langchain-openai", "langchain-anthropic", "langchain-classic", "starlette"],
    "openai_agents": ["openai-agents[voice]", "openinference-instrumentation-openai"],
    "pydantic_ai": ["pydantic-ai-slim[openai,anthropic]"],
}
"""What the tests need beside the extra; its newest release that goes with the floors."""
TOOLS = ["pytest", "pytest-asyncio", "pytest-timeout", "hypothesis"]


def floors_of(extra: str) -> list[str]:
    """Return the requirements of an extra, each at its lowest release."""
    text = (ROOT / "pyproject.toml").read_text()
    (line,) = re.findall(rf"^{re.escape(extra)} = \[(.*)\]$", text, re.MULTILINE)
    return [found.replace(">=", "==") for found in re.findall(r'"([^"]+)"', line)]


def run(adapter: str, options: list[str]) -> int:
    """Make the environment once, run the adapter's tests in it, and return pytest's status."""
    floors = floors_of(EXTRAS[adapter])
    print("floors:", ", ".join(floors), flush=True)
    project = ["--editable", f"{ROOT}[{EXTRAS[adapter]}]"]
    python = make_environment(*floors, *ALSO[adapter], *TOOLS, *project)
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(python), "-m", "pytest", str(ROOT / "tests" / "adapters" / adapter), *options]
    return subprocess.run(command, cwd=ROOT, env=kept, check=False).returncode


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in EXTRAS:
        sys.exit(f"usage: python -m tests.floors {{{','.join(EXTRAS)}}} [pytest's options]")
    sys.exit(run(sys.argv[1], sys.argv[2:]))
