"""A few threads that send what may be sent in any order, so that a distant backend is not waited for one by one."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from lucidic._export._hosted_http import HostedClient


HANDS: Final = 4
"""Requests at a time. More would press a backend that answers slowly because it is busy."""
WORTH: Final = 8
"""Fewer jobs are not worth threads: a program that ends its session now and then never starts one."""

Job = Callable[[HostedClient], None]
"""Does its work with the client of whoever does it; raises if it did not get through."""

_Answers: TypeAlias = "queue.SimpleQueue[tuple[int, bool]]"
_Jobs: TypeAlias = "queue.SimpleQueue[tuple[int, Job, _Answers] | None]"
_GRACE: Final = 1.0


class Crew:
    """Do jobs, each with a client of its own. Creating it starts no thread; the threads end with the process.

    Args:
        client: Makes the client of a thread.
    """

    def __init__(self, client: Callable[[], HostedClient]) -> None:
        self._make = client
        self._jobs: _Jobs = queue.SimpleQueue()
        self._hands = 0
        self._pid = 0

    def do(self, jobs: Mapping[int, Job], until: float) -> set[int]:
        """Do jobs and return the keys of those that got through; every job must end by itself at ``until``."""
        if len(jobs) < WORTH or not self._ready():
            return set()
        done: _Answers = queue.SimpleQueue()
        for key, job in jobs.items():
            self._jobs.put((key, job, done))
        found = set()
        # A job that ends with the interpreter never answers.
        with contextlib.suppress(queue.Empty):
            for _ in jobs:
                key, through = done.get(timeout=max(0.0, until - time.monotonic()) + _GRACE)
                if through:
                    found.add(key)
        return found

    def close(self) -> None:
        """Let the threads go; the next jobs start new ones."""
        if self._pid == os.getpid():
            for _ in range(self._hands):
                self._jobs.put(None)
        self._hands = 0

    def _ready(self) -> bool:
        if self._pid != os.getpid():
            # The threads of a forked process's parent are the parent's.
            self._pid, self._hands, self._jobs = os.getpid(), 0, queue.SimpleQueue()
        while self._hands < HANDS:
            name = f"lucidic-events-{self._hands + 1}"
            thread = threading.Thread(target=self._work, args=(self._jobs,), name=name, daemon=True)
            # At the interpreter's end no thread can start: then there are fewer, or none.
            with contextlib.suppress(RuntimeError):
                thread.start()
                self._hands += 1
                continue
            break
        return self._hands > 0

    def _work(self, jobs: _Jobs) -> None:
        client = self._make()
        while (task := jobs.get()) is not None:
            key, job, done = task
            through = False
            try:
                job(client)
                through = True
            except Exception:  # noqa: BLE001, S110 - the sink itself tries again, and says what is wrong
                pass
            finally:
                done.put((key, through))
        client.close()
