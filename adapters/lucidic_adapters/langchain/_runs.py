"""The open runs of LangChain: which span is whose, what lies below what, and that every run ends."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import UUID

from opentelemetry.context import Context
from opentelemetry.trace import SpanContext

from lucidic.adapterkit import (
    CANCELLED,
    INCOMPLETE,
    STOPPED_EARLY,
    LiveSpan,
    Message,
    guarded,
    io_attributes,
    message_attributes,
)


RUN_KEY: Final = "lucidic.langchain.run"
"""Context key: the innermost LangChain run whose code runs here."""

GUARD: Final = guarded("the LangChain handler")
"""One for all callbacks: it keeps no state, and making one costs more than using it."""

_OUTPUT: Final = "llm.output_messages"
_MOST_OPEN: Final = 100_000
"""Runs that nothing ever ends are closed, the oldest first, beyond this many."""
_MOST_INTERRUPTED: Final = 10_000


class Run:
    """An open run and its span."""

    __slots__ = (
        "agent", "asked", "attempts", "children", "context", "defers_input", "id", "integration",
        "kind", "live", "node_id", "owner", "parent", "pause", "readable", "request", "said", "streamed", "thread",
    )  # fmt: skip

    live: LiveSpan
    context: Context

    def __init__(
        self, run_id: UUID, kind: str, parent: Run | None, owner: object, *, thread: object = None
    ) -> None:
        self.id = run_id.int
        """The run's id as a number: a UUID is hashed and compared in Python, at each look into a dictionary."""
        self.kind = kind
        self.parent = parent
        self.owner = owner
        """The handler that started it; the callbacks of other handlers for the same run are passed over."""
        self.children: dict[int, Run] = {}
        self.agent: str | None = None
        self.asked: list[tuple[str, Any, str]] | None = None
        """Tools that this run's agent asks for: name, input and id of the call, where its tools are not told it."""
        self.attempts: dict[str, int] | None = None
        """How often each node below this graph was run."""
        self.integration: str | None = None
        self.node_id: str | None = None
        self.thread = None if thread is None else str(thread)
        self.readable = parent is None or kind == "AGENT"
        """Its input and output are a person's words: a turn's root, or an agent."""
        self.defers_input = False
        self.said: list[str] | None = None
        """What a stream of a model has said so far: the answer, if it is left before LangChain tells one."""
        self.streamed: Any = None
        """What the consumer of this run's stream was given (``Streamed``), and whether it left."""
        self.pause: dict[str, Any] | None = None
        """What a graph that waits for a person asks."""
        self.request: Any = None
        """What a model was asked."""

    def begin(self, live: LiveSpan) -> None:
        """Take the span that was started for this run."""
        self.live = live
        self.context = Context(live.context, **{RUN_KEY: self})
        """Where the user code of this run executes."""

    def end(
        self,
        error: BaseException | str | None = None,
        *,
        ok: bool = True,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """End the span of this run."""
        self.live.end(error=error, ok=ok, attributes=attributes)
        # Its own context refers to the run: without this the two would wait for the garbage collector.
        self.context = self.live.context


class Runs:
    """All open runs of the process, by id."""

    def __init__(self) -> None:
        self._open: dict[int, Run] = {}
        self._interrupted: OrderedDict[tuple[str | None, str], SpanContext] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Run]:
        return iter(list(self._open.values()))

    def get(self, run_id: UUID | None) -> Run | None:
        """Return the open run of that id."""
        return None if run_id is None else self._open.get(run_id.int)

    def add(self, run: Run) -> None:
        """Register a started run below its parent."""
        self._open[run.id] = run
        if run.parent is not None:
            run.parent.children[run.id] = run
        if len(self._open) > _MOST_OPEN:
            self.close(next(iter(self._open.values())))

    def take(self, run_id: UUID, owner: object) -> Run | None:
        """Remove a run that ends now; ``None`` for one that is not open, or another handler's."""
        run = self._open.get(run_id.int)
        return self._remove(run) if run is not None and run.owner is owner else None

    def _remove(self, run: Run) -> Run | None:
        if self._open.pop(run.id, None) is None:
            return None  # another thread was first
        if run.parent is not None:
            run.parent.children.pop(run.id, None)
        return run

    def end(
        self, run: Run, error: BaseException | str | None = None, attributes: Mapping[str, Any] | None = None
    ) -> None:
        """End the span of a run that was taken, and what is still open below it."""
        if error is None and not run.children:  # what most runs are
            run.end(ok=run.pause is None, attributes=attributes)
            return
        if isinstance(error, asyncio.CancelledError) and _was_left(run):
            error = GeneratorExit()  # that is how LangGraph stops what nobody waits for any more
        for child in list(run.children.values()):
            self.close(child, error if isinstance(error, BaseException) else None)
        shown, ok, reason = outcome(error)
        run.end(shown, ok=ok and run.pause is None, attributes={**(attributes or {}), **reason})

    def close(self, run: Run, error: BaseException | None = None) -> None:
        """End a run that LangChain forgot, with the reason for it.

        ``error`` is what ended the code that the run belonged to; without one, or where it is an
        ordinary exception that has its own span, the run is marked incomplete.
        """
        if self._remove(run) is None:
            return
        if _was_left(run):  # LangChain ends it later: a task closes the asynchronous generators
            error = GeneratorExit()
        _, _, reason = outcome(error)
        if reason:
            self.end(run, error, _said(run))
        else:
            for child in list(run.children.values()):
                self.close(child)
            run.end(ok=False, attributes={**_said(run), INCOMPLETE: True})

    def fail(self, run: Run, error: BaseException) -> None:
        """End a run that LangChain forgot with the exception that ended it; harmless if it has ended."""
        if self._remove(run) is not None:
            self.end(run, error, _said(run))

    def interrupted(self, thread: str | None, session_id: str | None, context: SpanContext) -> None:
        """Remember the root that a graph's interrupt ended, for the link from its resume."""
        if thread is None:
            return
        key = (session_id, thread)
        self._interrupted[key] = context
        self._interrupted.move_to_end(key)
        if len(self._interrupted) > _MOST_INTERRUPTED:
            self._interrupted.popitem(last=False)

    def resumed(self, thread: str | None, session_id: str | None) -> SpanContext | None:
        """Return, once, the root that was interrupted on this thread."""
        return None if thread is None else self._interrupted.pop((session_id, thread), None)


def _was_left(run: Run) -> bool:
    """Tell whether the consumer of the stream that a run is a part of left it."""
    above: Run | None = run
    while above is not None:
        if above.streamed is not None and above.streamed.left:
            return True
        above = above.parent
    return False


def _said(run: Run) -> dict[str, Any]:
    """Describe what a stream had said when it was left."""
    text = "".join(run.said or ())
    if text:
        return {**message_attributes(_OUTPUT, [Message("assistant", text)]), **io_attributes(output=text)}
    given = None if run.streamed is None else run.streamed.output()
    return io_attributes(output=given) if isinstance(given, str) else {}


def outcome(error: BaseException | str | None) -> tuple[BaseException | str | None, bool, dict[str, Any]]:
    """Tell what to show of the end of a run: the error, whether it went well, and the reason."""
    if isinstance(error, asyncio.CancelledError):
        return "cancelled", False, {CANCELLED: True}
    if isinstance(error, GeneratorExit):
        return None, False, {STOPPED_EARLY: True}
    return error, True, {}


RUNS: Final = Runs()
"""One for the process, so that two handlers, or a handler and ``instrument()``, make one span of a run."""


class _Lifecycle:
    """The handler of ``instrument()``, for what LangChain does not configure callbacks for."""

    def __init__(self) -> None:
        self.handler: Any = None


lifecycle: Final = _Lifecycle()
