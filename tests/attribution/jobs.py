"""Jobs: what a run is asked to do, with a mark in the data that names the session it belongs to.

The truth about a span comes from the data alone: prompts, tool arguments and span names carry the
mark, so no context variable is trusted to say where a span belongs.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from typing import Final, NamedTuple

from opentelemetry import trace

import lucidic as lai


OUTSIDE: Final = "outside"
"""The mark of work outside every session: its spans must carry none."""

_MARK: Final = re.compile(r"<<([\w.-]+):(\d+)>>")

FAIL_MODEL: Final = "fail the model"
FAIL_TOOL: Final = "fail the tool"
HANG: Final = "hang in the model"
FAIL_FIRST: Final = "fail the first attempt"
INNER: Final = "open an inner session"
INNER_ID: Final = "name another session inside"

COMPLETING: Final = frozenset({FAIL_FIRST, INNER_ID})
"""Orders that change what a run does, and let it come to its end."""


class Mark(NamedTuple):
    """The session a span belongs to, and the number of the run within it."""

    session_id: str
    run: int

    def __str__(self) -> str:
        return f"<<{self.session_id}:{self.run}>>"


class ScriptedError(Exception):
    """What a scripted model or tool raises."""


class BusyError(Exception):
    """What a scripted model raises at the first attempt, if it is asked to."""


class Job:
    """A session and the runs that belong to it."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self._runs = itertools.count()

    def next_mark(self) -> Mark:
        """Return the mark of the next run."""
        return Mark(self.session_id, next(self._runs))


def inner_of(mark: Mark) -> Mark:
    """Return the mark of what a run does in an inner session of its own."""
    return Mark(f"{mark.session_id}_inner", mark.run)


def other_id(text: str) -> str:
    """Return the id that inner work of a run names, and that must not become its session."""
    return f"decoy_in_{getattr(find_mark(text), 'session_id', None)}"


def find_mark(text: str) -> Mark | None:
    """Return the first mark in a text."""
    found = _MARK.search(text)
    return None if found is None else Mark(found[1], int(found[2]))


def act(prompt: str) -> None:
    """Do what the prompt asks of a model: fail, or nothing."""
    if FAIL_MODEL in prompt:
        raise ScriptedError("the model is out of order")
    if FAIL_FIRST in prompt and prompt not in _tried:
        _tried.add(prompt)
        raise BusyError("the model is busy")


async def act_async(prompt: str) -> None:
    """Do what the prompt asks of a model; a hanging model waits until it is cancelled."""
    await asyncio.sleep(0)  # lets every other conversation interleave
    act(prompt)
    if HANG in prompt:
        reached = _gates.get(str(find_mark(prompt)))
        if reached is not None:
            reached.set()
        await asyncio.Event().wait()


def act_tool(argument: str) -> None:
    """Do what the argument asks of a tool."""
    if FAIL_TOOL in argument:
        raise ScriptedError("the tool is out of order")
    if INNER in argument:
        mark = find_mark(argument)
        assert mark is not None
        inner = inner_of(mark)
        with (
            lai.bind_session(inner.session_id),
            trace.get_tracer("user").start_as_current_span("inner", attributes={"input": str(inner)}),
        ):
            return


_gates: dict[str, asyncio.Event] = {}
_tried: set[str] = set()


def gate(mark: Mark) -> asyncio.Event:
    """Return an event that is set when the hanging model of a run is reached."""
    return _gates.setdefault(str(mark), asyncio.Event())


def forget() -> None:
    """Forget the gates and attempts, after a cell."""
    _gates.clear()
    _tried.clear()
