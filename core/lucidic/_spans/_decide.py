"""Gather the evidence for a span that starts now, and decide its session."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from opentelemetry.context import Context

from lucidic import _binding
from lucidic._bound import BINDING_KEY, Ambient
from lucidic._spans._correlation import Decision, Evidence, FrameworkID, SessionFrom, whose_session
from lucidic._spans._peers import current_state
from lucidic._spans._state import SpanState


def decide(
    context: Context | None,
    parent: SpanState | None,
    *,
    init_ids: Callable[[], tuple[str, ...]],
    handler_id: str | None = None,
    framework: Sequence[FrameworkID] = (),
    session_from: SessionFrom = "block",
) -> tuple[Decision, Ambient]:
    """Decide the session of a span that would start in ``context`` below ``parent``."""
    around = _binding.ambient(context)
    if parent is not None and parent.astray and handler_id is None:
        return Decision(session_id=None), around
    inherited = None if parent is None or framework or handler_id is not None else parent.session_id
    if inherited is not None and around.session_id in (None, inherited):
        return Decision(inherited, "parent"), around  # every rule of the table gives the same id here
    evidence = Evidence(
        handler_id=handler_id,
        bound_id=around.session_id,
        bound_inside_parent=parent is not None and bound_inside(around, parent, context),
        cleared=around.explicitly_none,
        parent_id=None if parent is None else parent.session_id,
        framework=tuple(framework),
        init_ids=() if around.session_id is not None else init_ids(),
        session_from=session_from,
    )
    return whose_session(evidence), around


def remember_inside(state: SpanState, context: Context) -> None:
    """Remember the context of what runs below a span, so that what starts there need not look around."""
    held = _binding.held()
    if state.session_id is not None and context.get(BINDING_KEY) is held:
        state.inside, state.held = context, held


def passes_on(state: SpanState, current: Context, framework: Sequence[FrameworkID]) -> bool:
    """Tell whether a span below ``state`` inherits its session, because nothing else can name one.

    So it is in the very context that was made for what runs below, while no block was entered or left since: what
    most spans of an adapter are. Every rule of the table gives the same id there.
    """
    if state.inside is not current or state.held is not _binding.held():
        return False
    if not _binding.in_force(state.held):
        return False
    for found in framework:  # noqa: SIM110  # for every span: a generator costs more than the look
        if found.value != state.session_id:
            return False
    return True


def bound_inside(around: Ambient, parent: SpanState, context: Context | None) -> bool:
    """Tell whether the innermost block was entered inside ``parent``.

    A binding of ours remembers the span that was current when it was made. OpenInference's own
    blocks do not: there the key differs from the one the parent started with, in a context that runs
    below the parent (a stream's consumer does not).
    """
    if around.binding is None:
        if around.keyed is None or around.keyed == parent.keyed:
            return False
        current = current_state(context)
        return current is not None and current.is_inside(parent)
    made_in = around.binding.made_in
    return made_in is not None and made_in.is_inside(parent)
