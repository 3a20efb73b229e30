"""What goes wrong at the fake of the hosted API, on demand."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass

from lucidic.testing._hosted_server_http import HostedAnswer


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong for the requests under a path."""

    path: str
    status: int | None
    """0 drops the connection; None answers as usual, after the gate."""
    times: int | None
    """How often; None without end."""
    stored: bool = False
    retry_after: str | None = None
    text: str | None = None
    gate: threading.Event | None = None

    def answer(self) -> HostedAnswer | None:
        """Return the answer; None drops the connection."""
        if not self.status:
            return None
        headers = {} if self.retry_after is None else {"retry-after": self.retry_after}
        if self.text is not None:
            return HostedAnswer(self.status, self.text.encode(), {"content-type": "text/html", **headers})
        body = json.dumps({"detail": "The fake was told to fail."}).encode()
        return HostedAnswer(self.status, body, {"content-type": "application/json", **headers})


class Faults:
    """The faults that are to come, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Let it go wrong."""
        with self._lock:
            self._waiting.append(fault)

    def clear(self) -> None:
        """Let nothing go wrong any more, and open the gates."""
        with self._lock:
            gone, self._waiting = self._waiting, []
        for fault in gone:
            if fault.gate is not None:
                fault.gate.set()

    def next(self, path: str) -> Fault | None:
        """Wait for the gates of a path; then return what goes wrong with this request."""
        for gate in self._gates(path):
            gate.wait()
        with self._lock:
            for fault in self._waiting:
                if fault.gate is None and path.startswith(fault.path):
                    if fault.times is not None:
                        fault.times -= 1
                        if fault.times <= 0:
                            self._waiting.remove(fault)
                    return fault
        return None

    def _gates(self, path: str) -> list[threading.Event]:
        with self._lock:
            return [
                fault.gate
                for fault in self._waiting
                if fault.gate is not None and path.startswith(fault.path)
            ]
