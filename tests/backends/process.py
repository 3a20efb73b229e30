"""A backend that the tests start, kill and start again, on loopback, from an environment of its own."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx


LAUNCHER = Path(__file__).parent / "servers" / "launch.py"
START_SECONDS = 240.0
READ_SECONDS = 120.0
_T = TypeVar("_T")


class Backend:
    """One server: the process that launches it, its port, and its data, which outlive each start.

    Args:
        which: The launcher's name of it.
        python: The interpreter of its environment.
        folder: Where its data and its log are.
        environment: Variables for the launcher.
        healthy: The path that answers once it serves.
    """

    def __init__(
        self, which: str, python: Path, folder: Path, environment: Mapping[str, str], healthy: str
    ) -> None:
        self.which = which
        self.folder = folder
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=60.0, trust_env=False)
        self._healthy = healthy
        self._pid: int | None = None
        self._imported = False
        self._log = (folder / "log").open("a")
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "OTEL", "LUCIDIC", "OPENAI"))
        }
        self._launcher = subprocess.Popen(
            [str(python), str(LAUNCHER), which],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**inherited, **environment},
            cwd=folder,
        )

    def start(self, **variables: str) -> None:
        """Serve, with these variables set, and wait until it answers."""
        assert self._pid is None
        if not self._imported:
            self._imported = bool(self._line())
        self._launcher.stdin.write(
            "\t".join(["start", f"PORT={self.port}", *(f"{k}={v}" for k, v in variables.items())]) + "\n"
        )
        self._launcher.stdin.flush()
        self._pid = int(self._line())
        self.until(self._answers, seconds=START_SECONDS)

    def end(self, by: signal.Signals = signal.SIGKILL) -> None:
        """End the server by a signal, and wait until it is gone."""
        if self._pid is None:
            return
        pid, self._pid = self._pid, None
        with contextlib.suppress(ProcessLookupError):
            gone = os.pidfd_open(pid)
            try:
                os.kill(pid, by)
                ready, _, _ = select.select([gone], [], [], START_SECONDS)
                assert ready, f"{self.which} did not end"
            finally:
                os.close(gone)

    def close(self) -> None:
        """End the server and its launcher."""
        self.end()
        self.http.close()
        self._launcher.stdin.close()
        self._launcher.wait(30)
        self._launcher.stdout.close()
        self._log.close()

    def until(self, look: Callable[[], _T], *, seconds: float = READ_SECONDS) -> _T:
        """Look again and again until there is something to see: servers store later than they answer."""
        end = time.monotonic() + seconds
        pause = 0.1
        while not (found := look()):
            assert time.monotonic() < end, f"{self.which} shows nothing; its log ends\n{self.log()[-4000:]}"
            time.sleep(pause)
            pause = min(2 * pause, 2.0)  # looking costs the server more than storing
        return found

    def get(self, path: str, **parameters: Any) -> Any:
        """Read JSON."""
        answer = self.http.get(path, params=parameters)
        assert answer.is_success, answer.text
        return answer.json()

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send and read JSON."""
        answer = self.http.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def _answers(self) -> bool:
        try:
            return self.http.get(self._healthy).is_success
        except httpx.HTTPError:
            return False

    def _line(self) -> str:
        line = self._launcher.stdout.readline()
        assert line, f"{self.which} cannot be imported; its log ends\n{self.log()[-4000:]}"
        return line

    def log(self) -> str:
        """Return what the server has written, of all its starts."""
        return (self.folder / "log").read_text()


def replay(session_id: str, url: str) -> str:
    """Run ``lucidic replay`` as an operator would; return its output."""
    command = [sys.executable, "-m", "lucidic", "replay", session_id, "--to", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
