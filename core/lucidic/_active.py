"""Which session is active: blocks that bind one, and setting and clearing it by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from openinference.semconv.trace import SpanAttributes

from lucidic import _binding
from lucidic._bound import ABSENT
from lucidic._ids import check_session_id
from lucidic._runtime import runtime
from lucidic._scope import Entering, Scope, SessionScope, bind_here
from lucidic._spans._decide import decide
from lucidic._spans._json import dumps
from lucidic._spans._peers import current_state
from lucidic._spans._plan import MODEL_CALL_ATTRIBUTES


_R = TypeVar("_R")
_DEEPEST_MANUAL = 32
"""Manual bindings are a stack; a worker that sets and never clears must not grow it for ever."""


def bind_session(session_id: str) -> SessionScope:
    """Attach a block to a session without ending it; also a decorator, also ``async with``.

    Raises:
        InvalidSessionIDError: The id is empty or not text.

    """
    chosen = check_session_id(session_id)

    def begin() -> Entering[str]:
        runtime().provider()
        return Entering(chosen, chosen)

    return Scope(begin)


bind_session_async = bind_session


def using_session(session_id: str) -> SessionScope:
    """Attach a block to a session, under OpenInference's name; either library's blocks count for both.

    Raises:
        InvalidSessionIDError: The id is empty or not text.

    """
    return bind_session(session_id)


def using_attributes(
    *,
    session_id: str | None = None,
    user_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    tags: Sequence[str] | None = None,
    prompt_template: str | None = None,
    prompt_template_version: str | None = None,
    prompt_template_variables: Mapping[str, Any] | None = None,
) -> Scope[None]:
    """Put attributes on every span of a block, plain OpenTelemetry spans included.

    The same arguments and the same context keys as OpenInference's, so that its instrumentors see them too.
    The prompt template goes on model calls only.

    Args:
        session_id: Attach the block to this session.
        user_id: Becomes ``user.id``.
        metadata: Becomes ``metadata``, as JSON.
        tags: Become ``tag.tags``.
        prompt_template: The text of the prompt's template.
        prompt_template_version: Its version.
        prompt_template_variables: Its variables, as JSON.

    Raises:
        InvalidSessionIDError: ``session_id`` is empty or not text.

    """
    chosen = None if session_id is None else check_session_id(session_id)
    given = {
        SpanAttributes.USER_ID: user_id,
        SpanAttributes.METADATA: dumps(metadata) if metadata else None,
        SpanAttributes.TAG_TAGS: list(tags) if tags else None,
        SpanAttributes.LLM_PROMPT_TEMPLATE: prompt_template,
        SpanAttributes.LLM_PROMPT_TEMPLATE_VERSION: prompt_template_version,
        SpanAttributes.LLM_PROMPT_TEMPLATE_VARIABLES: (
            dumps(prompt_template_variables) if prompt_template_variables else None
        ),
    }
    values = {key: value for key, value in given.items() if value}

    def begin() -> Entering[None]:
        runtime().provider()
        return Entering(None, chosen, neutral=chosen is None, values=values)

    return Scope(begin)


def run_in_session(session_id: str, function: Callable[..., _R], *args: Any, **kwargs: Any) -> _R:
    """Run a function attached to a session, and return what it returns; the session is not ended.

    A coroutine function, or one that returns a coroutine, gives an awaitable, a generator function an iterator.

    Raises:
        InvalidSessionIDError: The id is empty or not text.

    """
    return bind_session(session_id)(function)(*args, **kwargs)


def set_active_session(session_id: str) -> None:
    """Bind a session to the current context until ``clear_active_session()``; calls stack.

    Raises:
        InvalidSessionIDError: The id is empty or not text.

    """
    runtime().provider()
    bind_manually(check_session_id(session_id))


def clear_active_session() -> None:
    """Undo the last ``set_active_session()`` here; the session before it counts again, or none.

    Inside a block, and where only an ``init()`` elsewhere would count, nothing is bound from here on.
    """
    bound = _binding.to_clear()
    if bound is None or not bound.manual:
        if _binding.ambient().session_id is not None or runtime().lifecycle.init_ids():
            bind_here(None, manual=True)
        return
    _binding.clear(bound)
    if _binding.top() is None and runtime().lifecycle.init_ids():
        bind_here(None, manual=True)


def block_of_generator() -> SessionScope | None:
    """Return a block for a run that goes on in tasks of its own, if it begins in a generator that holds one.

    A task inherits what its context says, and after a ``yield`` that may be another generator's session, or none.
    ``None``: the context says what is true, as nearly always.
    """
    if not _binding.of_another_generator():
        return None
    context, session_id = _binding.cleaned(), _binding.ambient().session_id
    values = {name: context.get(name, ABSENT) for name in MODEL_CALL_ATTRIBUTES}
    return Scope(lambda: Entering(str(session_id), session_id, values=values))


def current_session_id() -> str | None:
    """Return the session that a span started here and now would get, or ``None``."""
    run = runtime()
    context = _binding.cleaned()
    decision, _ = decide(
        context,
        current_state(context),
        init_ids=run.lifecycle.init_ids,
        session_from=run.settings.session_from,
    )
    return decision.session_id


def bind_manually(session_id: str) -> None:
    """Bind a session until it is cleared, ended or replaced."""
    bound = _binding.top()
    if bound is not None and bound.manual and bound.session_id in (None, session_id):
        _binding.drop(bound)
    step, depth = bind_here(session_id, manual=True), 0
    while step.previous is not None:
        depth += 1
        if depth >= _DEEPEST_MANUAL and step.previous.manual:
            step.forget_before()
            break
        step = step.previous
