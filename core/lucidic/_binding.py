"""Which session is bound here: one ContextVar of ours and OpenInference's context keys together.

The binding lives in both on purpose. In OpenTelemetry's context alone it is lost whenever somebody
restores an older context (FastAPI's own spans do); in a ContextVar alone it is lost in carriers, in
threads that an instrumentation gives OpenTelemetry's context, and to other instrumentors.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.context import Context

from lucidic import _cells
from lucidic._cells import held_by_cells


if TYPE_CHECKING:
    from lucidic._spans._state import SpanState

SESSION_KEY: Final = "session.id"
"""OpenInference's context key for the session; the same text as its span attribute."""
BINDING_KEY: Final = "lucidic.binding"
LEFT_KEY: Final = "lucidic.left_span"
"""Context key of the span that a block of another session left, for a link."""
SPAN_KEY: Final = next(iter(trace.set_span_in_context(trace.INVALID_SPAN, Context())))
"""OpenTelemetry's own key for the current span; it has a random part, so it is read, not spelled."""
_ABSENT: Final = object()


class Binding:
    """A session bound to a context. Immutable but for ``closed``."""

    __slots__ = (
        "_token", "attached", "before", "closed", "has_attributes", "made_in", "manual", "neutral", "outer",
        "previous", "scope", "session_id", "values",
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
        """The keys that it set in OpenTelemetry's context."""
        self.has_attributes: bool = previous is not None and previous.has_attributes
        """It or one before it set more than the session; most do not, and spans need not look."""
        self.before: Mapping[str, object] = {}
        """What these keys were before."""
        self.outer: Context | None = None
        self.attached: Context | None = None
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

    def forget_before(self) -> None:
        """Let go of everything older, so that a long chain does not grow for ever."""
        self.previous = self.outer = None
        self.before = {}


_home: ContextVar[None] = ContextVar("lucidic_home")
_current: ContextVar[Binding | None] = ContextVar("lucidic_binding", default=None)


def _alive(binding: Binding | None) -> Binding | None:
    while binding is not None and binding.is_dead_here():
        binding = binding.previous
    return binding


def _effective(binding: Binding | None) -> Binding | None:
    while binding is not None and (binding.neutral or binding.is_dead_here()):
        binding = binding.previous
    return binding


def _is_inside(inner: Binding, outer: Binding | None) -> bool:
    step: Binding | None = inner
    while step is not None:
        if step is outer:
            return True
        step = step.previous
    return outer is None


class Ambient(NamedTuple):
    """The session that the current context gives a span, and the evidence for it."""

    session_id: str | None
    binding: Binding | None
    """Ours, or ``None`` where the id comes from OpenInference's block or from baggage."""
    keyed: str | None
    """The value of OpenInference's key in the context that was read."""

    @property
    def explicitly_none(self) -> bool:
        return self.binding is not None and self.binding.session_id is None


def ambient(context: Context | None = None) -> Ambient:
    """Read the binding that holds in ``context`` (default: the current one), the innermost first."""
    held = _settle()
    if context is None:
        context = otel_context.get_current()
    keyed_raw = context.get(SESSION_KEY)
    raw = context.get(BINDING_KEY)
    if (
        held is not None
        and held is raw
        and keyed_raw == held.session_id
        and not (held.neutral or held.closed)
    ):
        return Ambient(held.session_id, held, held.session_id)  # a block's own context: what most spans see
    keyed = keyed_raw if isinstance(keyed_raw, str) and keyed_raw else None
    carried = raw if isinstance(raw, Binding) else None
    ended = None
    while carried is not None and (carried.neutral or carried.is_dead_here()):
        if not carried.neutral:
            ended = carried.session_id
            if keyed == ended:
                keyed = None  # the block that wrote this key was closed elsewhere
        carried = carried.previous
    binding = _effective(held)
    if carried is not None and not (binding is not None and _is_inside(binding, carried)):
        binding = carried
    if keyed is not None and _is_foreign_block(keyed, binding, raw):
        return Ambient(keyed, None, keyed)
    if binding is not None:
        return Ambient(binding.session_id, binding, keyed)
    carried_id = baggage.get_baggage(SESSION_KEY, context)
    if isinstance(carried_id, str) and carried_id and carried_id != ended:
        return Ambient(carried_id, None, carried_id)
    if held_by_cells and (last := _effective(held_by_cells[-1])) is not None:
        return Ambient(last.session_id, last, None)
    return Ambient(None, None, None)


def cleaned(context: Context | None = None) -> Context:
    """Return the context (default: the current one) without what was closed elsewhere and is dead here.

    A span's children run in what is made of it, in contexts where nobody can tell any more.
    """
    _settle()
    if context is None:
        return otel_context.get_current()
    while isinstance(dead := context.get(BINDING_KEY), Binding) and dead.is_dead_here():
        context = _without(context, dead)
    return context


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
    split: bool = False,
    scope: object = None,
    manual: bool = False,
    neutral: bool = False,
    owned: bool = True,
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
        neutral: Set ``values`` only and leave the session as it is.
        owned: False for a binding that no task or thread can close (a captured context).
        values: Further keys for OpenTelemetry's context, brought back together with the binding.

    """
    current = otel_context.get_current()
    binding = Binding(
        session_id,
        previous=_alive(_current.get()),
        made_in=made_in,
        scope=scope,
        manual=manual,
        neutral=neutral,
        owned=owned,
    )
    new: dict[str, object] = {**(values or {}), BINDING_KEY: binding}
    if not neutral:
        new[SESSION_KEY] = _ABSENT if session_id is None else session_id
    if split and SPAN_KEY not in new:
        new[LEFT_KEY] = trace.get_current_span(current).get_span_context()
        new[SPAN_KEY] = trace.INVALID_SPAN
    binding.values = new
    binding.has_attributes = bool(values) or binding.has_attributes
    binding.before = {key: current.get(key, _ABSENT) for key in new}
    binding.outer = current
    binding.attached = _context({**current, **new})
    _current.set(binding)
    otel_context.attach(binding.attached)
    if owned:
        _cells.note(binding)
    return binding


def unbind(binding: Binding) -> None:
    """Close a binding; in the context that holds it, bring back what was bound before.

    In the context that made it, that is all of OpenTelemetry's context as it was before, as when its
    own token is reset: a span that a generator left current inside the block does not outlive it.
    Never raises and never logs, wherever it is called: values are set, tokens are not used.
    """
    binding.closed = True
    _cells.forget(binding)
    _leave(binding)
    binding.attached = None
    if binding.is_owned_here():
        binding.outer = None  # elsewhere it is kept: the context that made it will come back to it


def drop(binding: Binding) -> None:
    """Undo a manual binding in this context; the task that made it and handed it on keeps it."""
    if binding.is_owned_here():
        unbind(binding)
    else:
        _leave(binding)


def _leave(binding: Binding) -> None:
    held = _current.get()
    if held is binding or _effective(held) is binding:
        _current.set(_alive(binding.previous))
    else:
        _current.set(_alive(held))
    current = otel_context.get_current()
    now = current
    if now.get(BINDING_KEY) is binding:
        whole = now is binding.attached or (not binding.manual and binding.is_owned_here())
        now = binding.outer if whole and binding.outer is not None else _without(now, binding)
    # Blocks that were left in another order than they were entered in: take the dead ones out as well.
    while isinstance(dead := now.get(BINDING_KEY), Binding) and dead.is_dead_here():
        now = _without(now, dead)
    if now is not current:
        otel_context.attach(now)


def _settle() -> Binding | None:
    """Leave here too what other contexts closed, so that what starts from here on does not inherit it.

    A span that an abandoned generator left current goes with it.
    """
    held = _current.get()
    if held is None or not held.is_dead_here():
        return held
    alive = _alive(held)
    _current.set(alive)
    current = now = otel_context.get_current()
    while isinstance(dead := now.get(BINDING_KEY), Binding) and dead.is_dead_here():
        now = dead.outer if dead.outer is not None else _without(now, dead)
    if now is not current:
        otel_context.attach(now)
    return alive


def take_over(binding: Binding | None) -> None:
    """Begin a notebook's cell with what the cells before it have left: ``binding``, or what is open here.

    The cell's context becomes the binding's own, so that it can be left here; what is closed is dead.
    """
    held = _current.get()
    while held is not None and held.closed:
        held = held.previous
    if binding is None:
        binding = held
    current = now = otel_context.get_current()
    if binding is not None and binding is not held and binding.attached is not None:
        now = binding.attached
    while isinstance(dead := now.get(BINDING_KEY), Binding) and dead.closed:
        now = _without(now, dead)
    _current.set(binding)
    if binding is not None and not binding.is_owned_here():
        binding.own()
    if now is not current:
        otel_context.attach(now)


def _without(context: Context, binding: Binding) -> Context:
    """Return the context in which every key that still is as ``binding`` set it is as it was before."""
    keys: dict[str, object] = dict(context)
    for key, value in binding.values.items():
        if keys.get(key, _ABSENT) is value:
            keys[key] = binding.before.get(key, _ABSENT)
    return _context(keys)


def _context(keys: Mapping[str, object]) -> Context:
    return Context({key: value for key, value in keys.items() if value is not _ABSENT})


def held() -> Binding | None:
    """Return the binding that this context holds, dead or alive."""
    return _current.get()


def top() -> Binding | None:
    """Return the innermost live binding of a session of ours in this context."""
    return _effective(_current.get())


def attributes(names: Collection[str], context: Context) -> dict[str, Any]:
    """Return what blocks set for these keys; in most contexts nothing."""
    held = _current.get()
    if (held is None or not held.has_attributes) and context.keys().isdisjoint(names):
        return {}
    return {name: value for name in names if (value := attribute(name, context)) is not None}


def attribute(key: str, context: Context) -> Any:
    """Return what a block set for ``key``, also where an older context was restored meanwhile."""
    if (value := context.get(key)) is not None:
        return value
    held = _current.get()
    if held is None or not held.has_attributes:
        return None
    binding = _alive(held)
    while binding is not None:
        if key in binding.values and not binding.is_dead_here():
            return binding.values[key]
        binding = binding.previous
    return None


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
    held_by_cells.clear()
    current = otel_context.get_current()
    if BINDING_KEY in current or SESSION_KEY in current:
        otel_context.attach(
            Context({k: v for k, v in current.items() if k not in (BINDING_KEY, SESSION_KEY)})
        )
