"""Run OpenInference's own LangChain tests on our handler: ``make openinference-langchain``.

    python -m tests.others.openinference_langchain [pytest's options]

Fetches their source distribution, which holds their tests, and runs them in an environment of their
own with ``openinference_plugin.py``. Nothing of theirs is kept in this repository.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.environments import make_environment


VERSION = "0.1.80"
"""Theirs; the lists in the plugin are written for it."""
PACKAGE = "openinference-instrumentation-langchain"
NEEDED = (
    f"{PACKAGE}=={VERSION}", "faiss-cpu", "langchain-anthropic", "langchain-classic", "langchain-community",
    "langchain-google-vertexai", "langchain-openai", "portpicker", "pytest", "pytest-asyncio",
    "pytest-recording", "pytest-rerunfailures", "respx", "vcrpy",
)  # fmt: skip
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def _fetch_tests(folder: Path) -> Path:
    name = PACKAGE.replace("-", "_") + f"-{VERSION}"
    # pip of the environment that runs this: uv fetches no source distributions.
    fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", folder]
    subprocess.run([*fetch, f"{PACKAGE}=={VERSION}"], check=True)
    with tarfile.open(folder / f"{name}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / name


def main(options: list[str]) -> int:
    """Run their tests, and return pytest's status."""
    python = make_environment(*NEEDED, "--editable", f"{ROOT}[langchain]")
    path = os.pathsep.join((str(ROOT / "core"), str(ROOT / "adapters"), str(HERE)))
    command = [
        str(python),
        "-m",
        "pytest",
        "tests",
        "-q",
        "-p",
        "openinference_plugin",
        "-W",
        "ignore",
        *options,
    ]
    with tempfile.TemporaryDirectory() as folder:
        tests = _fetch_tests(Path(folder))
        return subprocess.run(
            command, cwd=tests, env={**os.environ, "PYTHONPATH": path}, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
