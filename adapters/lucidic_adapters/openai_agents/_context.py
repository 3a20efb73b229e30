"""Make spans current in the task that starts them, and undo it without a trace.

The SDK calls processors in the context of the code that starts and finishes a span, so what is attached
there is seen by tools, guardrails and nested frameworks. Spans do not always end in the context, or in the
order, in which they started: a generator is closed by another task, a block is left early. So each context
keeps a stack of its own, and an entry is undone only where it was made, once everything above it has ended.
Other tracers attach in the same callbacks, before us or after us: what they have undone already is left as they
left it, and what they will undo is waited for.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context

from lucidic.adapterkit import beneath, stands_beside


_ENTRY: Final = "lucidic.openai_agents.entry"
"""Context key: the entry whose span was made current last."""


class Entry:
    """One span made current; ``closed`` once the span has ended.

    Its span is started ``inside`` of what names it here, so that the span's own context can be attached as it is.
    """

    __slots__ = ("attached", "before", "closed", "outer", "token")

    def __init__(self) -> None:
        self.before: Context | None = None
        self.attached: Context | None = None
        self.outer: Entry | None = None
        self.closed = False
        self.token: Token[Entry | None] | None = None

    @property
    def inside(self) -> dict[str, object]:
        """What the context of its span has to say."""
        return {_ENTRY: self}


_top: ContextVar[Entry | None] = ContextVar("lucidic_agents_entry", default=None)


def enter(entry: Entry, context: Context) -> None:
    """Make ``context``, which a span started ``inside`` of this entry has, the current one until ``leave``."""
    entry.before = otel_context.get_current()
    entry.outer = _top.get()
    entry.attached = beneath(context)
    otel_context.attach(entry.attached)
    entry.token = _top.set(entry)


def leave(entry: Entry) -> None:
    """Undo ``enter``, here or, called elsewhere, as soon as its own context looks. Never raises."""
    entry.closed = True
    settle()


def settle() -> None:
    """Undo what was entered in this very context and has ended since, the newest first."""
    entry = _top.get()
    while entry is not None and entry.closed:
        if entry.token is None or entry.before is None:
            return
        current = otel_context.get_current()
        holds = current.get(_ENTRY) is entry
        if holds and current is not entry.attached and stands_beside(trace.get_current_span(current)):
            return
        try:
            _top.reset(entry.token)
        except (ValueError, RuntimeError):
            return  # inherited: it belongs to the context of the task that made it
        if holds:
            otel_context.attach(entry.before)
        # The context refers to the entry: the two would wait for the garbage collector, and the span with them.
        entry.token = entry.attached = entry.before = None
        entry = entry.outer
