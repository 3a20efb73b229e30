"""The ways of giving a run its session."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from openinference.instrumentation import using_session

import lucidic as lai

from .jobs import Job


class Manual:
    """``set_active_session`` and ``clear_active_session`` as a block, to run in every mode."""

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id

    def __enter__(self) -> None:
        lai.set_active_session(self._session_id)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        lai.clear_active_session()

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


@dataclass(frozen=True)
class Way:
    """One way of giving the session: a block around the work, a key in the run's data, or both."""

    name: str
    scope: Callable[[str], Any] | None = None
    """Makes the block; ``None``: nothing is bound."""
    key: str | None = None
    """The framework's own key, passed to each run."""
    decorates: bool = False
    """The block is a decorator too."""
    own: bool = False
    """The block is a scope object of ours, which may be left in any order and anywhere."""

    def block(self, job: Job | None) -> Any:
        """Return the block of a job's session, for ``with`` and ``async with``."""
        if job is None or self.scope is None:
            return nullcontext()
        return self.scope(job.session_id)

    def named(self, job: Job | None) -> dict[str, str]:
        """Return what the run's data says about the session."""
        if job is None or self.key is None:
            return {}
        return {self.key: job.session_id}


BIND = Way("bind_session block", scope=lai.bind_session, decorates=True, own=True)
OPEN = Way("session block", scope=lambda sid: lai.session(session_id=sid), decorates=True, own=True)
OPENINFERENCE = Way("OpenInference's using_session", scope=using_session)
MANUAL = Way("set and clear", scope=Manual)

BLOCKS = (BIND, OPEN, OPENINFERENCE, MANUAL)


def by_key(key: str) -> Way:
    """Return the way of naming the session in the run's data only."""
    return Way(f"key {key}", key=key)


def block_and_key(key: str) -> Way:
    """Return the way of giving the same session twice, by a block and in the run's data."""
    return Way(f"bind_session block and key {key}", scope=lai.bind_session, key=key, decorates=True, own=True)
