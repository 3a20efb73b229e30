"""What is done to sessions and to the pipeline: end, update, look up, flush, shut down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lucidic import _binding, _cells
from lucidic._active import current_session_id
from lucidic._ids import check_session_id
from lucidic._records import JSONValue, StoredSession
from lucidic._runtime import replace_runtime, runtime
from lucidic.errors import NotInitializedError, SessionNotFoundError


if TYPE_CHECKING:
    from lucidic._export import Health, Sink


def add_sink(sink: Sink) -> None:
    """Deliver the spans that end from now on to one more sink (``lucidic.sinks``); the same one twice is once."""
    runtime().exporter.add_sink(sink)


def end_session(
    session_id: str | None = None,
    *,
    is_successful: bool | None = None,
    is_successful_reason: str | None = None,
    session_eval: float | None = None,
    session_eval_reason: str | None = None,
) -> None:
    """End a session: the one given, else the one bound here, else the last one of ``init()``.

    Its open steps and events end with it. Ending twice does nothing the second time, but a verdict that is given then
    counts: the end of a ``session()`` block may have come first.

    Raises:
        NotInitializedError: No id is given and no session was ever open.
        SessionNotFoundError: The given session is not known.

    """
    run = runtime()
    chosen = _choose(session_id)
    if chosen is None:
        if run.lifecycle.has_ended_any:
            return
        raise NotInitializedError(
            "There is no session to end: open one with lai.init() or lai.session(), or pass its session_id."
        )
    fields: dict[str, JSONValue] = {
        "is_successful": is_successful,
        "is_successful_reason": is_successful_reason,
        "session_eval": session_eval,
        "session_eval_reason": session_eval_reason,
    }
    if not run.lifecycle.end(chosen, fields) and any(value is not None for value in fields.values()):
        run.lifecycle.update(chosen, fields)
    while (bound := _binding.top()) is not None and bound.manual and bound.session_id in (None, chosen):
        _binding.drop(bound)
    _cells.forget_session(chosen)


def update_session(
    session_id: str | None = None,
    *,
    session_name: str | None = None,
    task: str | None = None,
    tags: Sequence[str] | None = None,
    user_id: str | None = None,
    is_successful: bool | None = None,
    is_successful_reason: str | None = None,
    session_eval: float | None = None,
    session_eval_reason: str | None = None,
) -> None:
    """Change what is known of a session: the one given, else the one bound here, else the last ``init()``.

    What is not given stays. A finished session may be updated: verdicts often come late.

    Raises:
        NotInitializedError: No id is given and no session is open.
        SessionNotFoundError: The given session is not known.

    """
    chosen = _choose(session_id)
    if chosen is None:
        raise NotInitializedError(
            "There is no session to update: open one with lai.init() or lai.session(), or pass its session_id."
        )
    fields: dict[str, JSONValue] = {
        "name": session_name,
        "task": task,
        "tags": None if tags is None else list(tags),
        "user_id": user_id,
        "is_successful": is_successful,
        "is_successful_reason": is_successful_reason,
        "session_eval": session_eval,
        "session_eval_reason": session_eval_reason,
    }
    runtime().lifecycle.update(chosen, fields)


def get_session(session_id: str | None = None) -> StoredSession | None:
    """Return what the local store knows of a session: the one given, else the one active here.

    Reads the store, so it is as slow as a file. ``None`` if there is no such session.

    Raises:
        StoreError: The store cannot be read.

    """
    chosen = (
        session_id if session_id is not None else (current_session_id() or runtime().lifecycle.last_init())
    )
    return None if chosen is None else stored_session(chosen)


def flush(timeout: float = 30.0) -> bool:
    """Deliver everything recorded so far; the answer is the truth.

    Args:
        timeout: Seconds to wait at most.

    Returns:
        True if every sink has taken every record.

    """
    run = runtime()
    return run.exporter.flush(timeout) if run.has_exporter else True


def shutdown(timeout: float | None = None) -> bool:
    """End what would end with the process, deliver, and switch everything off.

    Sessions with ``auto_end=False`` stay open. Spans that come later begin a new pipeline, as does ``init()``.

    Args:
        timeout: Seconds to wait at most; default the exit budget (``LUCIDIC_EXIT_BUDGET``).

    Returns:
        True if every sink has taken every record.

    """
    old = replace_runtime(None)
    while (bound := _binding.top()) is not None and bound.manual:
        _binding.drop(bound)
    return True if old is None else old.shutdown(old.settings.exit_budget if timeout is None else timeout)


def health() -> Health:
    """Return the books: how many spans were produced, and what became of each."""
    return runtime().exporter.health()


def stored_session(session_id: str) -> StoredSession | None:
    """Look a session up in the local store, with everything that any process has written so far."""
    from lucidic._export import Store

    store = Store(runtime().settings.home)
    try:
        store.catch_up()
        return store.session(session_id)
    finally:
        store.close()


def _choose(session_id: str | None) -> str | None:
    """Return the session that a call is about.

    Raises:
        SessionNotFoundError: The given session is not known.

    """
    if session_id is None:
        return _binding.ambient().session_id or runtime().lifecycle.last_init()
    lifecycle = runtime().lifecycle
    check_session_id(session_id)
    if not (
        lifecycle.is_open(session_id)
        or lifecycle.is_finished_here(session_id)
        or session_id == current_session_id()
        or stored_session(session_id) is not None
    ):
        raise SessionNotFoundError(
            session_id, way_out="Only a session that exists can be changed; `lucidic sessions` lists them."
        )
    return session_id
