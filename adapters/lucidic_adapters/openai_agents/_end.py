"""How spans end: with the error that passes through, as cancelled, or with the run's input and output."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from agents import MaxTurnsExceeded

from lucidic.adapterkit import CANCELLED, STOPPED_EARLY, dumps, io_attributes
from lucidic_adapters.openai_agents._responses import get
from lucidic_adapters.openai_agents._sessions import RunCall
from lucidic_adapters.openai_agents._state import TRACE, Work, is_cancellation


def end_span(
    work: Work,
    told: Mapping[str, Any] | None,
    error: BaseException | None,
    attributes: Mapping[str, Any],
    *,
    end_time: int | None = None,
) -> None:
    """End a span.

    Args:
        work: The span.
        told: The SDK's own account of an error: ``message`` and ``data``.
        error: The exception that passes through.
        attributes: Last attributes.
        end_time: Nanoseconds since the epoch; default now.

    """
    live = work.live
    error = error or work.tool_error
    if work.kind == "function" and error is not None and error.__cause__ is not None:
        error = error.__cause__  # the SDK wraps what a tool raised
    if told is None and is_cancellation(error):
        live.end(ok=False, attributes={**attributes, CANCELLED: True}, end_time=end_time)
    elif told is None and error is None:
        live.end(attributes=attributes, end_time=end_time)
    elif error is None or is_cancellation(error) or not work.flow.include_data:
        live.end(error=_account(told, error, work), attributes=attributes, end_time=end_time)
    elif work.flow.recorded is error and work.kind != TRACE:
        live.end(error=f"{type(error).__name__}: {error}", attributes=attributes, end_time=end_time)
    else:
        work.flow.recorded = error
        live.end(error=error, attributes=attributes, end_time=end_time)


def end_run(
    work: Work,
    told: Mapping[str, Any] | None,
    error: BaseException | None,
    attributes: Mapping[str, Any],
) -> None:
    """End a workflow or a run; one that waits for the result of its call is ended by ``bring``."""
    call = work.call
    if call is not None and call.ending is not None:
        call.ending.append((work, told, error, attributes, time.time_ns()))
        return
    _close_run(work, told, error, attributes, None)


def bring(call: RunCall) -> None:
    """End what waited for the result of a run: the run's task, then its workflow."""
    ending, call.ending = call.ending, None
    for work, told, error, attributes, end_time in ending or ():
        _close_run(work, told, error or call.error, attributes, end_time)


def _close_run(
    work: Work,
    told: Mapping[str, Any] | None,
    error: BaseException | None,
    attributes: Mapping[str, Any],
    end_time: int | None,
) -> None:
    if told is None and (error is None or is_cancellation(error)):
        error = _kept_error(work) or error
    if work.flow.session_id is None and work.flow.waiting:
        work.live.name_session(work.flow.waiting[0])
    last = {**attributes, **_outcome(work)}
    if work.flow.include_data:
        last |= io_attributes(input=work.words, output=work.answer)
        work.say(work.words, work.answer)
    end_span(work, told, error, last, end_time=end_time)


def _outcome(work: Work) -> dict[str, Any]:
    """Take over what the run's result tells better than the model's last answer; say how it stopped."""
    result = None if work.call is None else _result_of(work.call)
    if result is None:
        return {}
    output = getattr(result, "final_output", None)
    if output is not None:
        work.answer = output
    waiting = [
        str(get(item, "name") or get(item, "tool_name"))
        for item in getattr(result, "interruptions", None) or ()
    ]
    if waiting:
        work.answer = f"Waiting for approval: {', '.join(waiting)}"
        return {"openai_agents.interruptions": waiting}
    mode = getattr(result, "_cancel_mode", None)
    if mode == "immediate":
        return {CANCELLED: True}
    return {STOPPED_EARLY: True} if mode == "after_turn" else {}


def _kept_error(work: Work) -> BaseException | None:
    """Return the error of a streamed run, which its consumer gets and nothing that passes through the run."""
    result = None if work.call is None else _result_of(work.call)
    if result is None:
        return None
    kept = getattr(result, "_stored_exception", None)
    if isinstance(kept, BaseException):
        return kept
    # A guardrail that raises beside the model's call cancels the run (0.24).
    guarding = getattr(result, "_input_guardrails_task", None)
    if isinstance(guarding, asyncio.Task) and guarding.done() and not guarding.cancelled():
        kept = guarding.exception()
        if kept is not None:
            return kept
    turns, most = getattr(result, "current_turn", None), getattr(result, "max_turns", None)
    if isinstance(turns, int) and isinstance(most, int) and turns > most and result.final_output is None:
        return MaxTurnsExceeded(f"Max turns ({most}) exceeded")
    return None


def _result_of(call: RunCall) -> Any:
    found = call.result
    return found() if callable(found) else found


def _account(told: Mapping[str, Any] | None, error: BaseException | None, work: Work) -> str:
    """Tell an error in the SDK's words, which have left out already what must not be told."""
    if told is None:
        return type(error).__name__
    message = str(told.get("message") or "Error")
    detail = get(told.get("data"), "error") if told.get("data") else None
    if not work.flow.include_data:
        return message if error is None else f"{message}: {type(error).__name__}"
    if detail is None and told.get("data"):
        detail = dumps(told["data"])
    return f"{message}: {detail}" if detail else message
