"""The session functions of the public API, under the names of the source documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lucidic import _binding
from lucidic._export import Health, Sink
from lucidic._guard import logger
from lucidic._ids import check_session_id, new_session_id
from lucidic._records import JSONValue
from lucidic._runtime import runtime
from lucidic._scope import SessionScope, bind_here
from lucidic._spans._decide import decide
from lucidic._spans._state import current_state
from lucidic.errors import NotInitializedError, SessionNotFoundError


_DEEPEST_MANUAL = 32
"""Manual bindings are a stack; a worker that sets and never clears must not grow it for ever."""


def init(
    session_name: str | None = None,
    *,
    session_id: str | None = None,
    task: str | None = None,
    tags: Sequence[str] | None = None,
    auto_end: bool | None = None,
    **settings: Any,
) -> str:
    """Open a session for this process and bind it to the current context.

    Returns:
        The session's id.

    """
    run = runtime()
    if session_id is None:
        bound = _binding.top()
        if bound is not None and not bound.manual and bound.session_id is not None:
            logger.warning(
                "lucidic: init() inside the block of session %r keeps that session; "
                "to open another one, leave the block or use lai.session().",
                bound.session_id,
            )
            return bound.session_id
    chosen = check_session_id(session_id) if session_id is not None else new_session_id()
    fields: dict[str, JSONValue] = {"name": session_name, "task": task, "tags": list(tags) if tags else None}
    run.provider()
    ends = run.settings.auto_end if auto_end is None else auto_end
    run.lifecycle.open(chosen, source="init", fields=fields, by_init=True, auto_end=ends)
    _bind_manually(chosen)
    return chosen


def session(
    session_name: str | None = None,
    *,
    session_id: str | None = None,
    task: str | None = None,
    tags: Sequence[str] | None = None,
    auto_end: bool | None = None,
    **settings: Any,
) -> SessionScope:
    """Open a session for a block, and end it on exit; also a decorator, also ``async with``.

    Inside, ``auto_end`` is ignored: the session ends on exit in any case, unsuccessful if the block
    raised. The exception passes through unchanged. Ending writes a record and never waits.
    """
    if auto_end is not None:
        logger.info("lucidic: auto_end is ignored inside session(): the session ends on exit.")
    given = None if session_id is None else check_session_id(session_id)
    fields: dict[str, JSONValue] = {"name": session_name, "task": task, "tags": list(tags) if tags else None}

    def begin() -> tuple[str, bool]:
        run = runtime()
        run.provider()
        chosen = given or new_session_id()
        opened = not run.lifecycle.is_open(chosen)
        if opened:
            run.lifecycle.open(chosen, source="session", fields=fields)
        return chosen, opened

    return SessionScope(begin, _finish)


def _finish(session_id: str, error: BaseException | None) -> None:
    fields: dict[str, JSONValue] = {}
    if error is not None and not isinstance(error, GeneratorExit):
        fields = {"is_successful": False, "is_successful_reason": type(error).__name__}
    runtime().lifecycle.end(session_id, fields)


session_async = session


def bind_session(session_id: str) -> SessionScope:
    """Attach a block to a session without ending it; also a decorator, also ``async with``.

    Raises:
        InvalidSessionIDError: The id is empty or not text.

    """
    chosen = check_session_id(session_id)

    def begin() -> tuple[str, bool]:
        runtime().provider()
        return chosen, False

    return SessionScope(begin, _finish)


bind_session_async = bind_session


def set_active_session(session_id: str) -> None:
    """Bind a session to the current context until ``clear_active_session()``; calls stack.

    Raises:
        InvalidSessionIDError: The id is empty or not text.

    """
    runtime().provider()
    _bind_manually(check_session_id(session_id))


def clear_active_session() -> None:
    """Undo the last ``set_active_session()`` here; the session before it counts again, or none."""
    bound = _binding.top()
    if bound is None or not bound.manual:
        bind_here(None, manual=True)
        return
    _binding.unbind(bound)
    if _binding.top() is None and runtime().lifecycle.init_ids():
        bind_here(None, manual=True)


def end_session(
    session_id: str | None = None,
    *,
    is_successful: bool | None = None,
    is_successful_reason: str | None = None,
    session_eval: float | None = None,
    session_eval_reason: str | None = None,
) -> None:
    """End a session: the one given, else the one bound here, else the last one of ``init()``.

    Ending twice does nothing the second time.

    Raises:
        NotInitializedError: No id is given and no session is open.
        SessionNotFoundError: The given session is not known.

    """
    run = runtime()
    chosen = session_id if session_id is not None else (_bound_id() or run.lifecycle.last_init())
    if chosen is None:
        raise NotInitializedError(
            "There is no session to end: open one with lai.init() or lai.session(), or pass its session_id."
        )
    check_session_id(chosen)
    if session_id is not None and not _is_known(session_id):
        raise SessionNotFoundError(
            session_id, way_out="Only a session that was opened can be ended; `lucidic sessions` lists them."
        )
    fields: dict[str, JSONValue] = {
        "is_successful": is_successful,
        "is_successful_reason": is_successful_reason,
        "session_eval": session_eval,
        "session_eval_reason": session_eval_reason,
    }
    run.lifecycle.end(chosen, fields)
    bound = _binding.top()
    if bound is not None and bound.manual and bound.session_id == chosen:
        _binding.unbind(bound)


def current_session_id() -> str | None:
    """Return the session that a span started here and now would get, or ``None``."""
    run = runtime()
    decision, _ = decide(
        None,
        current_state(),
        init_ids=run.lifecycle.init_ids,
        session_from=run.settings.session_from,
    )
    return decision.session_id


def flush(timeout: float = 30.0) -> bool:
    """Deliver everything recorded so far; the answer is the truth.

    Args:
        timeout: Seconds to wait at most.

    Returns:
        True if every sink has taken every record.

    """
    run = runtime()
    return run.exporter.flush(timeout) if run.has_exporter else True


def add_sink(sink: Sink) -> None:
    """Deliver the spans that end from now on to one more sink (``lucidic.sinks``); the same one twice is once."""
    runtime().exporter.add_sink(sink)


def health() -> Health:
    """Return the books: what was produced, and what became of it at each sink."""
    return runtime().exporter.health()


def _bound_id() -> str | None:
    bound = _binding.top()
    return None if bound is None else bound.session_id


def _bind_manually(session_id: str) -> None:
    bound = _binding.top()
    if bound is not None and bound.manual and bound.session_id in (None, session_id):
        _binding.unbind(bound)
    binding = bind_here(session_id, manual=True)
    step, depth = binding, 0
    while step.previous is not None:
        depth += 1
        if depth >= _DEEPEST_MANUAL and step.previous.manual:
            step.previous = None
            break
        step = step.previous


def _is_known(session_id: str) -> bool:
    run = runtime()
    if run.lifecycle.is_open(session_id) or run.lifecycle.is_finished_here(session_id):
        return True
    from lucidic._export import Store

    store = Store(run.settings.home)
    store.catch_up()
    return store.session(session_id) is not None
