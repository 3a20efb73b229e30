"""Run OpenInference's own LangChain tests on our handler: ``make openinference-langchain``.

    python tests/others/openinference_langchain.py [FOLDER] [-- PYTEST ARGUMENTS]

Fetches their source distribution, which holds their tests, makes an environment of its own in FOLDER
(default ``.venv-openinference``) and runs the tests there with ``openinference_plugin.py``.
Nothing of theirs is kept in this repository.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path


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


def _make_environment(folder: Path) -> Path:
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run(
            [sys.executable, "-m", "uv", "venv", "-q", "--python", sys.executable, folder], check=True
        )
    install = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", python]
    subprocess.run([*install, *NEEDED, "--editable", f"{ROOT}[langchain]"], check=True)
    return python


def _fetch_tests(folder: Path) -> Path:
    name = PACKAGE.replace("-", "_") + f"-{VERSION}"
    if not (folder / name).exists():
        # pip of the environment that runs this: uv fetches no source distributions.
        fetch = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--no-binary",
            ":all:",
            "-d",
            folder,
        ]
        subprocess.run([*fetch, f"{PACKAGE}=={VERSION}"], check=True)
        with tarfile.open(folder / f"{name}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    return folder / name


def main(arguments: list[str]) -> int:
    given, _, rest = " ".join(arguments).partition("--")
    folder = Path(given.strip() or ROOT / ".venv-openinference").resolve()
    python = _make_environment(folder)
    tests = _fetch_tests(folder)
    path = os.pathsep.join((str(ROOT / "core"), str(ROOT / "adapters"), str(HERE)))
    command = [
        python,
        "-m",
        "pytest",
        "tests",
        "-q",
        "-p",
        "openinference_plugin",
        "-W",
        "ignore",
        *rest.split(),
    ]
    return subprocess.run(command, cwd=tests, env={**os.environ, "PYTHONPATH": path}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
