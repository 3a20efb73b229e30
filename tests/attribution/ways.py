"""The ways of giving a run its session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from openinference.instrumentation import using_session
from opentelemetry import baggage
from opentelemetry import context as otel_context

import lucidic as lai

from .jobs import Job


class _Block:
    """What comes in two calls, as a block, to run in every mode."""

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id

    def __enter__(self) -> None:
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


class Manual(_Block):
    """``set_active_session`` and ``clear_active_session``."""

    def __enter__(self) -> None:
        lai.set_active_session(self._session_id)

    def __exit__(self, *error: object) -> None:
        lai.clear_active_session()


class Baggage(_Block):
    """OpenTelemetry's own baggage, as a user of OpenTelemetry sets it."""

    def __enter__(self) -> None:
        self._token = otel_context.attach(baggage.set_baggage("session.id", self._session_id))

    def __exit__(self, *error: object) -> None:
        otel_context.detach(self._token)


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
    decoy: str = ""
    """``block`` or ``key``: that one names another session, and must not win."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the process."""

    def block(self, job: Job | None) -> Any:
        """Return the block of a job's session, for ``with`` and ``async with``."""
        if job is None or self.scope is None:
            return nullcontext()
        return self.scope(f"decoy_of_{job.session_id}" if self.decoy == "block" else job.session_id)

    def named(self, job: Job | None) -> dict[str, str]:
        """Return what the run's data says about the session."""
        if job is None or self.key is None:
            return {}
        return {self.key: f"decoy_of_{job.session_id}" if self.decoy == "key" else job.session_id}


BIND = Way("bind_session block", scope=lai.bind_session, decorates=True, own=True)
OPEN = Way("session block", scope=lambda sid: lai.session(session_id=sid), decorates=True, own=True)
OPENINFERENCE = Way("OpenInference's using_session", scope=using_session)
MANUAL = Way("set and clear", scope=Manual)

ATTRIBUTES = Way(
    "using_attributes block",
    scope=lambda sid: lai.using_attributes(session_id=sid),
    decorates=True,
    own=True,
)
CARRIER = Way(
    "carrier",
    scope=lambda sid: lai.extract({"baggage": f"session.id={sid}"}),
    decorates=True,
    own=True,
)
BAGGAGE = Way("OpenTelemetry's baggage", scope=Baggage)
NOTHING = Way("nothing else")
"""For modes that give the session themselves."""

BLOCKS = (BIND, OPEN, OPENINFERENCE, MANUAL)
FURTHER_BLOCKS = (ATTRIBUTES, CARRIER, BAGGAGE)
"""Blocks that share their code with the others: not with every framework."""
TOKENS = (OPENINFERENCE, BAGGAGE)
"""Blocks of others, which reset a token when they are left."""


def by_key(key: str) -> Way:
    """Return the way of naming the session in the run's data only."""
    return Way(f"key {key}", key=key)


def block_and_key(key: str) -> Way:
    """Return the way of giving the same session twice, by a block and in the run's data."""
    return Way(f"bind_session block and key {key}", scope=lai.bind_session, key=key, decorates=True, own=True)


def conflicts(key: str) -> tuple[Way, Way]:
    """Return a block around a run whose data names another session: by default the block wins, or the data."""
    given: dict[str, Any] = {"scope": lai.bind_session, "key": key, "decorates": True, "own": True}
    return (
        Way(f"block against key {key}", decoy="key", **given),
        Way(f"key {key} against block", decoy="block", settings={"session_from": "framework"}, **given),
    )
