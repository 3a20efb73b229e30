"""Environments of packages that the tests need and the project does not, made once and kept in the cache folder."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path


def make_environment(*requirements: str, constraints: Path | None = None) -> Path:
    """Return the Python of an environment that has these packages.

    Args:
        requirements: What to install, as pip takes it.
        constraints: A file of versions.

    Raises:
        subprocess.CalledProcessError: It cannot be made, for example without a network.
    """
    wanted = "\n".join(requirements) + (constraints.read_text() if constraints else "")
    digest = hashlib.blake2s(f"{sys.version}\n{wanted}".encode(), digest_size=6).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lucidic-tests"
    cache.mkdir(parents=True, exist_ok=True)
    name = "".join(sign if sign.isalnum() else "-" for sign in requirements[0])
    folder = cache / f"{name}-py{sys.version_info.major}.{sys.version_info.minor}-{digest}"
    python = folder / "bin" / "python"
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            limits = ["--constraint", str(constraints)] if constraints else []
            uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
            if uv:
                _run(uv, "venv", "--quiet", "--python", sys.executable, str(folder))
                _run(uv, "pip", "install", "--quiet", "--python", str(python), *limits, *requirements)
            else:
                _run(sys.executable, "-m", "venv", str(folder))
                _run(str(python), "-m", "pip", "install", "--quiet", *limits, *requirements)
            (folder / "complete").touch()
    return python


def _run(*command: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, env=kept, capture_output=True, text=True, timeout=900, check=True)
