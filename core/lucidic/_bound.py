"""One session bound to a context, and the keys under which it stands in OpenTelemetry's."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from types import CodeType
from typing import TYPE_CHECKING, Final, NamedTuple

from opentelemetry import trace
from opentelemetry.context import Context


if TYPE_CHECKING:
    from lucidic._spans._state import SpanState

SESSION_KEY: Final = "session.id"
"""OpenInference's context key for the session; the same text as its span attribute."""
BINDING_KEY: Final = "lucidic.binding"
LEFT_KEY: Final = "lucidic.left_span"
"""Context key of the span that a block of another session left, for a link."""
SPAN_KEY: Final = next(iter(trace.set_span_in_context(trace.INVALID_SPAN, Context())))
"""OpenTelemetry's own key for the current span; it has a random part, so it is read, not spelled."""
ABSENT: Final = object()
"""Stands for a key that a context does not have."""
_home: ContextVar[None] = ContextVar("lucidic_home")


class Holder(NamedTuple):
    """A generator's frame, not kept alive: its id lives as long as it does; the code guards against a later one's."""

    frame: int
    code: CodeType


class Binding:
    """A session bound to a context. Immutable but for ``closed``."""

    __slots__ = (
        "__weakref__", "_token", "attached", "before", "closed", "contested", "has_attributes", "holder", "made_in", "manual",
        "neutral", "outer", "previous", "scope", "session_id", "values",
    )  # fmt: skip

    def __init__(
        self,
        session_id: str | None,
        *,
        previous: Binding | None,
        made_in: SpanState | None,
        scope: object = None,
        manual: bool = False,
        neutral: bool = False,
        owned: bool = True,
    ) -> None:
        self.session_id = session_id
        """``None``: an explicit "no session here", unless the binding is neutral."""
        self.previous = previous
        self.made_in = made_in
        """The span that was current when the binding was made: tells inner blocks from outer ones."""
        self.scope = scope
        self.manual = manual
        self.neutral = neutral
        """It sets other keys only (``using_attributes(user_id=…)``); the session is that of ``previous``."""
        self.closed = False
        self.values: Mapping[str, object] = {}
        """The keys that it set in OpenTelemetry's context, besides its own, under which it stands there itself."""
        self.has_attributes: bool = previous is not None and previous.has_attributes
        """It or one before it set more than the session; most do not, and spans need not look."""
        self.before: Mapping[str, object] = {}
        """What these keys were before."""
        self.outer: Context | None = None
        self.attached: Context | None = None
        self.holder: Holder | None = None
        """The generator that entered it, if one did."""
        self.contested = False
        """It was entered while the generator that holds the one before was suspended, or inside such a binding."""
        self._token = _home.set(None) if owned else None

    @property
    def keyed_before(self) -> object:
        """OpenInference's session key before: tells a restored older context from a newer block."""
        return self.before.get(SESSION_KEY)

    def is_owned_here(self) -> bool:
        """Tell whether the current context is the very one in which the binding was made.

        A token can only be reset in the context that made it; Python shows a context's identity in no
        other way. Task and thread are no substitute: both run several contexts.
        """
        if self._token is None:
            return False
        try:
            _home.reset(self._token)
        except (ValueError, RuntimeError):  # RuntimeError: a signal handler asks in the middle of this
            return False
        self._token = _home.set(None)
        return True

    def own(self) -> None:
        """Make the current context the one that is taken for the binding's own."""
        self._token = _home.set(None)

    def is_dead_here(self) -> bool:
        """A closed binding is dead in the context that made it, and alive in those that inherited it."""
        return self.closed and self.is_owned_here()

    def is_inside(self, outer: Binding | None) -> bool:
        """Tell whether this is ``outer`` or was made inside it."""
        step: Binding | None = self
        while step is not None:
            if step is outer:
                return True
            step = step.previous
        return outer is None

    def forget_before(self) -> None:
        """Let go of everything older, so that a long chain does not grow for ever."""
        self.previous = self.outer = None
        self.before = {}


def without(context: Context, binding: Binding) -> Context:
    """Return the context in which every key that still is as ``binding`` set it is as it was before."""
    keys: dict[str, object] = dict(context)
    for key, value in (*binding.values.items(), (BINDING_KEY, binding)):
        if keys.get(key, ABSENT) is value:
            keys[key] = binding.before.get(key, ABSENT)
    return made_of(keys)


def made_of(keys: Mapping[str, object]) -> Context:
    """Return a context of these keys, without those that are absent."""
    return Context({key: value for key, value in keys.items() if value is not ABSENT})


class Ambient(NamedTuple):
    """The session that the current context gives a span, and the evidence for it."""

    session_id: str | None
    binding: Binding | None
    """Ours, or ``None`` where the id comes from OpenInference's block or from baggage."""
    keyed: str | None
    """The value of OpenInference's key in the context that was read."""
    generator: Binding | None = None
    """The block of the generator that runs, where the context has that of another one, or none."""

    @property
    def explicitly_none(self) -> bool:
        return self.binding is not None and self.binding.session_id is None
