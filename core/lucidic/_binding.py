"""Which session is bound here: one ContextVar of ours and OpenInference's context keys together.

The binding lives in both on purpose. In OpenTelemetry's context alone it is lost whenever somebody
restores an older context (FastAPI's own spans do); in a ContextVar alone it is lost in carriers, in
threads that an instrumentation gives OpenTelemetry's context, and to other instrumentors.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.context import Context


if TYPE_CHECKING:
    from lucidic._spans._state import SpanState

SESSION_KEY: Final = "session.id"
"""OpenInference's context key for the session; the same text as its span attribute."""
_BINDING_KEY: Final = "lucidic.binding"
LEFT_KEY: Final = "lucidic.left_span"
"""Context key of the span that a block of another session left, for a link."""


class Binding:
    """A session bound to a context."""

    __slots__ = (
        "_token", "attached", "closed", "keyed_before", "made_in", "manual", "outer", "previous", "scope", "session_id",
    )  # fmt: skip

    def __init__(
        self,
        session_id: str | None,
        *,
        previous: Binding | None,
        made_in: SpanState | None,
        keyed_before: str | None,
        scope: object = None,
        manual: bool = False,
    ) -> None:
        self.session_id = session_id
        """``None``: an explicit "no session here"."""
        self.previous = previous
        self.made_in = made_in
        """The span that was current when the binding was made: tells inner blocks from outer ones."""
        self.keyed_before = keyed_before
        """OpenInference's session key before: tells a restored older context from a newer block."""
        self.scope = scope
        self.manual = manual
        self.closed = False
        self.outer: Context | None = None
        self.attached: Context | None = None
        self._token = _home.set(None)

    def is_dead_here(self) -> bool:
        """A closed binding is dead in the context that made it, and alive in those that inherited it."""
        return self.closed and self.is_at_home()

    def is_at_home(self) -> bool:
        """Tell whether the current context is the very one in which the binding was made.

        A token can only be reset in the context that made it; Python shows that context's identity in
        no other way. Thread and task are no substitute: both run several contexts.
        """
        try:
            _home.reset(self._token)
        except ValueError:
            return False
        self._token = _home.set(None)
        return True


_home: ContextVar[None] = ContextVar("lucidic_home")
_current: ContextVar[Binding | None] = ContextVar("lucidic_binding", default=None)


def _alive(binding: Binding | None) -> Binding | None:
    while binding is not None and binding.closed and binding.is_dead_here():
        binding = binding.previous
    return binding


def top() -> Binding | None:
    """Return the innermost live binding of ours in this context."""
    binding = _current.get()
    if binding is None or not binding.closed:
        return binding
    alive = _alive(binding)
    if alive is not binding:
        _current.set(alive)  # closed elsewhere: what starts from here on must not inherit it
    return alive


def _is_inside(inner: Binding, outer: Binding | None) -> bool:
    step: Binding | None = inner
    while step is not None:
        if step is outer:
            return True
        step = step.previous
    return outer is None


class Ambient:
    """The session that the current context gives a span, and the evidence for it."""

    __slots__ = ("binding", "keyed", "session_id")

    def __init__(self, session_id: str | None, binding: Binding | None, keyed: str | None) -> None:
        self.session_id = session_id
        self.binding = binding
        """Ours, or ``None`` where the id comes from OpenInference's block or from baggage."""
        self.keyed = keyed
        """The value of OpenInference's key in the context that was read."""

    @property
    def explicitly_none(self) -> bool:
        return self.binding is not None and self.binding.session_id is None


def ambient(context: Context | None = None) -> Ambient:
    """Read the binding that holds in ``context`` (default: the current one), the innermost first."""
    if context is None:
        context = otel_context.get_current()
    mine = top()
    carried_raw = context.get(_BINDING_KEY)
    keyed_raw = context.get(SESSION_KEY)
    keyed = keyed_raw if isinstance(keyed_raw, str) and keyed_raw else None
    if carried_raw is mine or not isinstance(carried_raw, Binding):
        carried = None
    else:
        carried = _alive(carried_raw)
        if carried is None or carried is not carried_raw:
            # The block that wrote this context was closed elsewhere: its key is no evidence either.
            keyed = keyed if keyed != carried_raw.session_id else None
    binding = mine
    if carried is not None and not (mine is not None and _is_inside(mine, carried)):
        binding = carried
    if keyed is not None and _is_foreign_block(keyed, binding, carried_raw):
        return Ambient(keyed, None, keyed)
    if binding is not None:
        return Ambient(binding.session_id, binding, keyed)
    if keyed is not None:
        return Ambient(keyed, None, keyed)
    carried_id = baggage.get_baggage(SESSION_KEY, context)
    if isinstance(carried_id, str) and carried_id:
        return Ambient(carried_id, None, carried_id)
    return Ambient(None, None, None)


def _is_foreign_block(keyed: str, binding: Binding | None, carried: object) -> bool:
    """Tell whether the key was set by OpenInference's own block, inside our innermost binding."""
    if binding is None:
        return True
    if keyed == binding.session_id:
        return False
    if isinstance(carried, Binding) and carried is not binding and keyed == carried.session_id:
        return False  # an older context of ours was restored
    return keyed != binding.keyed_before


def bind(
    session_id: str | None,
    *,
    made_in: SpanState | None,
    split: bool,
    scope: object = None,
    manual: bool = False,
    values: Mapping[str, object] | None = None,
) -> Binding:
    """Bind a session to the current context and to OpenInference's key.

    Args:
        session_id: The id; ``None`` binds "no session here".
        made_in: State of the span that is current now.
        split: Leave the current span, because its trace belongs to another session; what starts
            inside becomes a trace of its own, linked to it.
        scope: The scope object that will close the binding.
        manual: Made by ``set_active_session``, ``init`` and the like, which no block closes.
        values: Further keys for OpenTelemetry's context, brought back together with the binding.

    """
    current = otel_context.get_current()
    keyed = current.get(SESSION_KEY)
    binding = Binding(
        session_id,
        previous=top(),
        made_in=made_in,
        keyed_before=keyed if isinstance(keyed, str) else None,
        scope=scope,
        manual=manual,
    )
    keys: dict[str, object] = {**current, **(values or {}), _BINDING_KEY: binding}
    if session_id is None:
        keys.pop(SESSION_KEY, None)
    else:
        keys[SESSION_KEY] = session_id
    new = Context(keys)
    if split:
        left = trace.get_current_span(current).get_span_context()
        new = trace.set_span_in_context(trace.INVALID_SPAN, Context({**new, LEFT_KEY: left}))
    binding.outer = current
    binding.attached = new
    _current.set(binding)
    otel_context.attach(new)
    return binding


def unbind(binding: Binding) -> None:
    """Close a binding; in the context that holds it, bring back what was bound before.

    Never raises and never logs, wherever it is called: values are set, tokens are not used.
    """
    binding.closed = True
    step = _current.get()
    if step is binding:
        _current.set(_alive(binding.previous))
    else:
        while step is not None:
            if step.previous is binding:
                _take_out(binding, below=step)
                break
            step = step.previous
    current = otel_context.get_current()
    if current is binding.attached and binding.outer is not None:
        otel_context.attach(binding.outer)
    elif current.get(_BINDING_KEY) is binding:
        otel_context.attach(_without(current, binding))
    binding.outer = binding.attached = None


def _take_out(binding: Binding, *, below: Binding) -> None:
    """Close a block before the one inside it: the inner one will come back to what was before both."""
    below.previous = binding.previous
    if below.keyed_before == binding.session_id:
        below.keyed_before = binding.keyed_before
    if below.outer is not None and below.outer.get(_BINDING_KEY) is binding:
        below.outer = _without(below.outer, binding)


def _without(context: Context, binding: Binding) -> Context:
    """Return ``context`` with the keys that ``binding`` wrote put back to what was before it."""
    values: dict[str, object] = dict(context)
    if binding.previous is None:
        values.pop(_BINDING_KEY, None)
    else:
        values[_BINDING_KEY] = binding.previous
    if values.get(SESSION_KEY) == binding.session_id:
        if binding.keyed_before is None:
            values.pop(SESSION_KEY, None)
        else:
            values[SESSION_KEY] = binding.keyed_before
    return Context(values)


def find(scope: object) -> Binding | None:
    """Return the innermost open binding that ``scope`` made in this context."""
    step = _current.get()
    while step is not None:
        if step.scope is scope and not step.closed:
            return step
        step = step.previous
    return None


def clear_all() -> None:
    """Forget every binding of this context (for tests and for a fresh start)."""
    _current.set(None)
    current = otel_context.get_current()
    if _BINDING_KEY in current or SESSION_KEY in current:
        otel_context.attach(
            Context({k: v for k, v in current.items() if k not in (_BINDING_KEY, SESSION_KEY)})
        )
