"""What is remembered of the SDK's traces and spans while they are open."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from weakref import ReferenceType, ref

from agents.tracing import Span
from opentelemetry.trace import SpanContext

from lucidic.adapterkit import FrameworkID, LiveSpan
from lucidic_adapters.openai_agents._context import Entry
from lucidic_adapters.openai_agents._frames import passing_error
from lucidic_adapters.openai_agents._history import History
from lucidic_adapters.openai_agents._sessions import RunCall


_STOPS: Final = (asyncio.CancelledError, GeneratorExit)
_SWEEP_AT: Final = 1024
TRACE: Final = "trace"
"""The kind of a workflow's root; all other kinds are the SDK's own (``span_data.type``)."""


class Flow:
    """One SDK trace: what all its spans share."""

    __slots__ = (
        "context", "ended", "include_data", "recorded", "resumes", "root", "session_id", "trace_id", "waiting",
    )  # fmt: skip

    def __init__(self, trace_id: str) -> None:
        self.trace_id = trace_id
        self.root: Work | None = None
        """The topmost span while it is open; ``None`` for a trace whose start was not seen, until its first span."""
        self.context: SpanContext | None = None
        """Of the topmost span, kept when it has ended, for a run that is resumed."""
        self.session_id: str | None = None
        self.waiting: tuple[FrameworkID, ...] = ()
        """Ids that name the session unless a stronger one comes that its run has yet to make."""
        self.include_data = True
        self.ended = False
        self.resumes = True
        """A trace whose start was not seen goes on in the place of the one that ended under its id."""
        self.recorded: BaseException | None = None
        """The exception that has its event already, on the span that it came from."""


class Work:
    """One open span, of the SDK and of OpenTelemetry."""

    # Defaults of the class, and no slots: most spans set none of these.
    of: ReferenceType[Span[Any]] | None = None
    """The SDK's span; ``None`` for a workflow."""
    call: RunCall | None = None
    words: str | None = None
    """What was said to it first."""
    answer: Any = None
    """What it said last."""
    handoffs: dict[str, str] | None = None
    """Of what is below: the agent that takes over, and the one that handed over."""
    history: History | None = None
    """What the calls of this run were sent."""
    tool_error: BaseException | None = None
    """What a tool raised before the SDK turned it into an answer."""

    def __init__(
        self,
        live: LiveSpan,
        kind: str,
        flow: Flow,
        parent: Work | None,
        name: str | None,
        entry: Entry | None,
    ) -> None:
        self.live = live
        self.kind = kind
        self.flow = flow
        self.parent = parent
        self.name = name
        self.entry = entry
        """What made it the current one; ``None`` for a span that was not to be."""
        self.outer_error = id(passing_error())
        """An exception that was being handled before is none of this span's."""

    def error(self) -> BaseException | None:
        """Return the exception that ends this span, called while it does."""
        error = passing_error()
        return None if error is None or id(error) == self.outer_error else error

    def above(self, kind: str) -> Work | None:
        """Return the nearest span above of this kind."""
        step = self.parent
        while step is not None and step.kind != kind:
            step = step.parent
        return step

    def say(self, words: str | None, answer: object) -> None:
        """Tell the spans above what a model heard and answered, for those of which nothing better is known."""
        step = self.parent
        while step is not None and step.kind != "function":
            if step.words is None:
                step.words = words
            if answer is not None:
                step.answer = answer
            step = step.parent


class OpenSpans:
    """The open spans by the SDK's ids of them; one that the SDK drops without an end is forgotten."""

    def __init__(self) -> None:
        self._works: dict[object, Work] = {}
        self._sweep_at = _SWEEP_AT

    def add(self, span: Span[Any], work: Work) -> None:
        """Remember a span that has started."""
        work.of = ref(span)
        key: object = span.span_id
        if key in self._works:
            key = (key, id(span))  # ids may be given by hand, and twice
        self._works[key] = work
        if len(self._works) > self._sweep_at:
            self._sweep()

    def by_id(self, span_id: str | None) -> Work | None:
        """Return the open span of this id."""
        return self._works.get(span_id)

    def get(self, span: Span[Any]) -> Work | None:
        """Return what belongs to a span that is open."""
        work = self._works.get(span.span_id)
        if work is None or work.of is None or work.of() is span:
            return work
        return self._works.get((span.span_id, id(span)), work)  # or another tracer's wrapper around it

    def pop(self, span: Span[Any]) -> Work | None:
        """Return what belongs to a span, and forget it."""
        work = self._works.pop(span.span_id, None)
        if work is None or work.of is None or work.of() is span:
            return work
        self._works[span.span_id] = work
        return self._works.pop((span.span_id, id(span)), None)

    def below(self, work: Work) -> list[tuple[Span[Any], Work]]:
        """Return the open spans below one, the deepest first."""
        found = []
        for other in reversed(list(self._works.values())):
            step = other.parent
            while step is not None and step is not work:
                step = step.parent
            span = None if step is None or other.of is None else other.of()
            if span is not None:
                found.append((span, other))
        return found

    def __len__(self) -> int:
        self._sweep()
        return len(self._works)

    def _sweep(self) -> None:
        for key, work in list(self._works.items()):
            if work.of is None or work.of() is None:
                self._works.pop(key, None)
        self._sweep_at = max(_SWEEP_AT, 2 * len(self._works))


def is_cancellation(error: BaseException | None) -> bool:
    """Tell whether an exception says that the work was stopped, not that it failed."""
    return error is not None and isinstance(error, _STOPS)
