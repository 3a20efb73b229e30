"""Open and continue sessions: the functions of the public API, under the names of the source documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from typing_extensions import Unpack

from lucidic import _binding
from lucidic._active import bind_manually
from lucidic._config import MaskingFunction
from lucidic._guard import logger
from lucidic._ids import check_session_id, new_session_id
from lucidic._lifecycle import failure
from lucidic._manage import stored_session
from lucidic._opening import Opening, SessionOptions, hosted_registry
from lucidic._runtime import runtime
from lucidic._scope import Entering, Scope, SessionScope
from lucidic._spans._peers import current_state
from lucidic.errors import SessionActiveError, SessionFinishedError, SessionNotFoundError


if TYPE_CHECKING:
    from lucidic._export._hosted_registry import HostedRegistry

_R = TypeVar("_R")


def init(session_name: str | None = None, **options: Unpack[SessionOptions]) -> str:
    """Open a session for this process, or resume the one of ``session_id``, and bind it to this context.

    It ends at ``end_session()`` or, with ``auto_end`` (the default), when the process exits. While exactly one
    session is open through ``init()``, it is also the one for spans of contexts where nothing is bound.

    Inside a block of another session, ``init()`` without ``session_id`` keeps the block's session and warns: one
    workflow has one id.

    Args:
        session_name: A name for people.
        **options: See ``SessionOptions``.

    Returns:
        The session's id.

    Raises:
        APIKeyVerificationError: The hosted API is asked for and a credential is missing or refused.
        ConfigurationError: An option holds what cannot be used.
        InvalidSessionIDError: ``session_id`` is empty or not text.
        MissingDependencyError: The framework of a provider is not installed.
        TypeError: An option does not exist.

    """
    opening = Opening("init", session_name, options)
    opening.apply()
    run = runtime()
    if opening.session_id is None:
        bound = _binding.top()
        if bound is not None and not bound.manual and bound.session_id is not None:
            logger.warning(
                "lucidic: init() inside the block of session %r keeps that session; "
                "to open another one, leave the block or use lai.session().",
                bound.session_id,
            )
            return bound.session_id
    chosen = opening.session_id or new_session_id()
    ends = run.settings.auto_end if opening.auto_end is None else opening.auto_end
    run.lifecycle.open(chosen, source="init", fields=opening.fields, by_init=True, auto_end=ends)
    bind_manually(chosen)
    return chosen


def session(session_name: str | None = None, **options: Unpack[SessionOptions]) -> SessionScope:
    """Open a session for a block, and end it on exit; also a decorator, also ``async with``.

    Inside, ``auto_end`` is ignored: the session ends on exit in any case, unsuccessful if the block
    raised. The exception passes through unchanged. Ending writes a record and never waits. Several blocks of
    one ``session_id`` end it with the last one.

    Args:
        session_name: A name for people.
        **options: See ``SessionOptions``.

    Raises:
        ConfigurationError: An option holds what cannot be used.
        TypeError: An option does not exist.

    """
    opening = Opening("session", session_name, options)
    if opening.auto_end is not None:
        logger.info("lucidic: auto_end is ignored inside session(): the session ends on exit.")

    def begin() -> Entering[str]:
        opening.apply()
        chosen = opening.session_id or new_session_id()
        runtime().lifecycle.enter(chosen, opening.fields)
        return Entering(chosen, chosen, opened=True)

    return Scope(begin, _finish)


session_async = session


def _finish(session_id: str, error: BaseException | None) -> None:
    runtime().lifecycle.leave(session_id, {} if error is None else failure(error))


def run_session(
    function: Callable[..., _R], *args: Any, init_params: Mapping[str, Any] | None = None, **kwargs: Any
) -> _R:
    """Run a function inside a session of its own, and return what it returns.

    A coroutine function, or one that returns a coroutine, gives an awaitable, a generator function an iterator; the
    session lasts until they end.

    Args:
        function: What to run.
        *args: Its positional arguments.
        init_params: Options of ``session()``.
        **kwargs: Its keyword arguments.

    """
    return session(**(init_params or {}))(function)(*args, **kwargs)


def continue_session(
    session_id: str,
    lucidic_api_key: str | None = None,
    agent_id: str | None = None,
    providers: Sequence[object] | None = (),
    masking_function: MaskingFunction | None = None,
    auto_end: bool | None = True,
    *,
    api_key: str | None = None,
    reopen: bool = False,
) -> str:
    """Go on with a session that this or another process began, and bind it to this context.

    Nothing is inherited: providers and masking are those given here. (A mask that other open sessions of this
    process need is kept.) Continuing the session that is active here already returns its id.

    Args:
        session_id: The session; it must exist and not be finished.
        lucidic_api_key: Key of the hosted API; default ``LUCIDIC_API_KEY``.
        agent_id: Agent at the hosted API; default ``LUCIDIC_AGENT_ID``.
        providers: What to instrument.
        masking_function: Applied to every text that could hold content.
        auto_end: End the session when the process exits; default true.
        api_key: Another name of ``lucidic_api_key``.
        reopen: Continue it even if it is finished.

    Returns:
        The session's id.

    Raises:
        SessionNotFoundError: The session is not known.
        SessionFinishedError: It is finished, and ``reopen`` is not set.
        SessionActiveError: Another session is active in this context.
        APIKeyVerificationError: The hosted API is asked for and a credential is missing or refused.

    """
    given: SessionOptions = {
        "session_id": session_id,
        "lucidic_api_key": lucidic_api_key,
        "api_key": api_key,
        "agent_id": agent_id,
        "providers": providers,
        "masking_function": masking_function,
        "auto_end": auto_end,
    }
    opening = Opening("continue_session", None, given)
    chosen = check_session_id(session_id)
    run = runtime()
    active = _active_here()
    if active is not None and active != chosen:
        raise SessionActiveError(chosen, active)
    _check_state(chosen, hosted_registry(opening.settings()), reopen=reopen)
    opening.apply(forget_mask=all(known == chosen for known in run.lifecycle.open_ids()))
    if not (active == chosen and run.lifecycle.is_open(chosen)):
        ends = run.settings.auto_end if auto_end is None else auto_end
        run.lifecycle.open(chosen, source="continue", fields={}, by_init=True, auto_end=ends)
    bind_manually(chosen)
    return chosen


def _active_here() -> str | None:
    state = current_state()
    if state is not None and state.session_id is not None:
        return state.session_id
    return _binding.ambient().session_id


def _check_state(session_id: str, registry: HostedRegistry | None, *, reopen: bool) -> None:
    run = runtime()
    if run.lifecycle.is_open(session_id):
        return
    finished = run.lifecycle.is_finished_here(session_id)
    if not finished:
        known = stored_session(session_id)
        # The hosted API may know of a session, or of its end, from another machine.
        remote = None if registry is None else registry.find(session_id)
        if known is None and remote is None:
            raise SessionNotFoundError(
                session_id,
                way_out="Check the id with `lucidic sessions`, or begin it with "
                f"lai.init(session_id={session_id!r}).",
            )
        finished = remote == "finished" or (known is not None and known.state == "finished")
    if finished and not reopen:
        raise SessionFinishedError(session_id)
