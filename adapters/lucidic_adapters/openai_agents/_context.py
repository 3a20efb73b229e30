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
    """One span made current; ``closed`` once the span has ended."""

    __slots__ = ("before", "closed", "inside", "outer", "token")

    def __init__(self, before: Context, outer: Entry | None) -> None:
        self.before = before
        self.inside = before
        self.outer = outer
        self.closed = False
        self.token: Token[Entry | None] | None = None


_top: ContextVar[Entry | None] = ContextVar("lucidic_agents_entry", default=None)


def enter(context: Context) -> Entry:
    """Make ``context`` the current one until ``leave``."""
    entry = Entry(otel_context.get_current(), _top.get())
    entry.inside = Context({**beneath(context), _ENTRY: entry})
    otel_context.attach(entry.inside)
    entry.token = _top.set(entry)
    return entry


def leave(entry: Entry) -> None:
    """Undo ``enter``, here or, called elsewhere, as soon as its own context looks. Never raises."""
    entry.closed = True
    settle()


def settle() -> None:
    """Undo what was entered in this very context and has ended since, the newest first."""
    entry = _top.get()
    while entry is not None and entry.closed:
        if entry.token is None:
            return
        current = otel_context.get_current()
        holds = current.get(_ENTRY) is entry
        if holds and current is not entry.inside and stands_beside(trace.get_current_span(current)):
            return
        try:
            _top.reset(entry.token)
        except (ValueError, RuntimeError):
            return  # inherited: it belongs to the context of the task that made it
        entry.token = None
        if holds:
            otel_context.attach(entry.before)
        entry = entry.outer
