"""Which session is bound here: one ContextVar of ours and OpenInference's context keys together.

The binding lives in both on purpose. In OpenTelemetry's context alone it is lost whenever somebody
restores an older context (FastAPI's own spans do); in a ContextVar alone it is lost in carriers, in
threads that an instrumentation gives OpenTelemetry's context, and to other instrumentors.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import baggage
from opentelemetry import context as otel_context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context
from opentelemetry.trace import Span, SpanContext

from lucidic import _cells, _suspended
from lucidic._bound import (
    ABSENT,
    BINDING_KEY,
    LEFT_KEY,
    SESSION_KEY,
    SPAN_KEY,
    Ambient,
    Binding,
    made_of,
    without,
)
from lucidic._cells import held_by_cells
from lucidic._spans._state import state_of
from lucidic._suspended import NOBODY, context_of_generator, is_ours, of_running_code
from lucidic._suspended import held as held_by_generators


if TYPE_CHECKING:
    from lucidic._spans._state import SpanState

_ABANDONED_KEY: Final = "lucidic.abandoned_span"
"""Context key of the span that was current when its session was cleared: it encloses nothing from then on."""
_current: ContextVar[Binding | None] = ContextVar("lucidic_binding", default=None)


def _alive(binding: Binding | None) -> Binding | None:
    while binding is not None and binding.is_dead_here():
        binding = binding.previous
    return binding


def _effective(binding: Binding | None) -> Binding | None:
    while binding is not None and (binding.neutral or binding.is_dead_here()):
        binding = binding.previous
    return binding


def ambient(context: Context | None = None) -> Ambient:
    """Read the binding that holds in ``context`` (default: the current one), the innermost first."""
    held = _settle()
    if context is None:
        context = otel_context.get_current()
    keyed_raw = context.get(SESSION_KEY)
    raw = context.get(BINDING_KEY)
    if held is not None and held is raw and keyed_raw == held.session_id and in_force(held):
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
    binding = mine = _effective(held)
    if carried is not None and not (mine is not None and mine.is_inside(carried)):
        binding = carried
    if held_by_generators or (binding is not None and binding.contested):  # hardly ever
        here = binding is mine or context is otel_context.get_current()
        if here and (running := of_running_code(binding)) is not None and running is not binding:
            if keyed is not None and not is_ours(keyed, running, binding, context):
                running = NOBODY
            return Ambient(running.session_id, running, None, running)
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


def _running_elsewhere(context: Context, held: Binding | None) -> Binding | None:
    """Return the binding of the running code if it is not the context's."""
    if not held_by_generators and (held is None or not held.contested):
        return None
    raw, binding = context.get(BINDING_KEY), _effective(held)
    carried = _effective(raw) if isinstance(raw, Binding) else None
    if carried is not None and not (binding is not None and binding.is_inside(carried)):
        binding = carried
    running = of_running_code(binding)
    return None if running is binding else running


def cleaned(context: Context | None = None) -> Context:
    """Return the context (default: the current one) without what is not in force for the running code.

    That is what was closed elsewhere and is dead here, and what a suspended generator has left: its block, and the
    span that it holds open. A span's children run in what is made of it, in contexts where nobody can tell any more.
    """
    held = _settle()
    if context is None:
        context = otel_context.get_current()
        running = _running_elsewhere(context, held)
        if running is not None and not context.get(_SUPPRESS_INSTRUMENTATION_KEY):
            return context if _has_begun(running, context) else context_of_generator(running, held, context)
        abandoned = context.get(_ABANDONED_KEY)
        if abandoned is not None and context.get(SPAN_KEY) is abandoned:
            return made_of({**context, SPAN_KEY: ABSENT})
        return context
    while isinstance(dead := context.get(BINDING_KEY), Binding) and dead.is_dead_here():
        context = without(context, dead)
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
    inside: Span | None = None,
    left: SpanContext | None = None,
    scope: object = None,
    manual: bool = False,
    neutral: bool = False,
    owned: bool = True,
    values: Mapping[str, object] | None = None,
) -> Binding:
    """Bind a session to the current context and to OpenInference's key.

    Args:
        session_id: The id; ``None`` binds "no session here".
        made_in: State of the span that encloses it.
        inside: The span that is current inside; default the one that is current now. An invalid one begins a trace.
        left: The span to which that trace is linked.
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
    if owned:
        _suspended.hold(binding)
    new: dict[str, object] = dict(values or {})
    if not neutral:
        new[SESSION_KEY] = ABSENT if session_id is None else session_id
    if inside is not None:
        new[SPAN_KEY] = inside
        # Not where a suspended generator holds that span: its consumer does not leave it.
        new[LEFT_KEY] = ABSENT if left is None or binding.contested else left
    if _ABANDONED_KEY in current:
        new[_ABANDONED_KEY] = ABSENT
    binding.values = new
    binding.has_attributes = bool(values) or binding.has_attributes
    binding.before = {key: current.get(key, ABSENT) for key in (BINDING_KEY, *new)}
    binding.outer = current
    binding.attached = made_of({**current, **new, BINDING_KEY: binding})
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
    _suspended.let_go(binding)
    innermost = _current.get() is binding
    _leave(binding)
    binding.attached = None
    if innermost and binding.is_owned_here():
        binding.outer = None  # otherwise it is kept: the context that made it will come back to it


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
        now = binding.outer if whole and binding.outer is not None else without(now, binding)
    # Blocks that were left in another order than they were entered in: take the dead ones out as well.
    now = _without_dead(now)
    if now is not current:
        otel_context.attach(now)


def clear(binding: Binding) -> None:
    """Undo a binding that was set by hand; a span that it left current encloses nothing from here on.

    What a generator sets and clears is undone wherever it runs meanwhile.
    """
    if binding.holder is not None and _suspended.runs_here(binding.holder):
        unbind(binding)
    else:
        drop(binding)
    current = otel_context.get_current()
    state, around = state_of(current.get(SPAN_KEY)), binding.made_in
    if state is None or state is around or state.session_id != binding.session_id:
        return
    if around is None or state.is_inside(around):
        otel_context.attach(made_of({**current, _ABANDONED_KEY: current[SPAN_KEY]}))


def _settle() -> Binding | None:
    """Leave here too what other contexts closed, so that what starts from here on does not inherit it.

    A span that an abandoned generator left current goes with it.
    """
    held = _current.get()
    if held is None or not held.is_dead_here():
        return held
    alive = _alive(held)
    _current.set(alive)
    current = otel_context.get_current()
    now = _without_dead(current)
    if now is not current:
        otel_context.attach(now)
    return alive


def _without_dead(context: Context) -> Context:
    """Return the context as it was before the blocks in it that are dead here."""
    while isinstance(dead := context.get(BINDING_KEY), Binding) and dead.is_dead_here():
        context = dead.outer if dead.outer is not None else without(context, dead)
    return context


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
        now = without(now, dead)
    _current.set(binding)
    if binding is not None and not binding.is_owned_here():
        binding.own()
    if now is not current:
        otel_context.attach(now)


def held() -> Binding | None:
    """Return the binding that this context holds, dead or alive."""
    return _current.get()


def in_force(held: Binding | None) -> bool:
    """Tell whether what this context holds is the running code's, with no need to look further."""
    if held_by_generators:
        return False
    return held is None or not (held.closed or held.contested or held.neutral)


def top() -> Binding | None:
    """Return the innermost live binding of a session of ours in this context."""
    return _effective(_current.get())


def to_clear() -> Binding | None:
    """Return the innermost live binding, or what the generator that runs here has set if that is another's."""
    bound = top()
    own = _suspended.set_by_hand_here(_current.get())
    return own if own is not None and (bound is None or bound.holder != own.holder) else bound


def has_left_a_span(context: Context) -> bool:
    """Tell whether the current span of ``context``, which was current until now, may not enclose what starts here."""
    return _ABANDONED_KEY in context or context is not otel_context.get_current()


def of_another_generator() -> bool:
    """Tell whether what starts here is in the block of another generator, or in none, by what the context says."""
    context = otel_context.get_current()
    running = _running_elsewhere(context, _settle())
    return running is not None and running is not NOBODY and not _has_begun(running, context)


def _has_begun(running: Binding, context: Context) -> bool:
    """Tell whether the current span is the running code's own: then that is what encloses the next one."""
    state = state_of(context.get(SPAN_KEY))
    return state is not None and state.generator is running


def attributes(
    names: Collection[str], context: Mapping[str, object], generator: Binding | None = None
) -> dict[str, Any]:
    """Return what blocks set for these keys; in most contexts nothing."""
    bound = _current.get()
    none_bound = generator is None and (bound is None or not bound.has_attributes)
    if none_bound and context.keys().isdisjoint(names):
        return {}
    return {name: value for name in names if (value := attribute(name, context, generator)) is not None}


def attribute(key: str, context: Mapping[str, object], generator: Binding | None = None) -> Any:
    """Return what a block set for ``key``, also where an older context was restored meanwhile.

    In a generator whose block the context does not have, its ``generator``, that is what held when it was entered.
    """
    if generator is not None:
        return (generator.attached or Context()).get(key)
    if (value := context.get(key)) is not None:
        return value
    held = _current.get()
    if held is None or not held.has_attributes:
        return None
    binding = _alive(held)
    while binding is not None:
        if key in binding.values and not binding.is_dead_here():
            found = binding.values[key]
            return None if found is ABSENT else found
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
