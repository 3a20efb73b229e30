"""``instrument()``: what callbacks are not told, taken where the SDK's public entry points are called."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

from agents.run import AgentRunner
from agents.tracing import add_trace_processor, get_trace_provider

from lucidic.adapterkit import guarded, log_once_a_minute
from lucidic_adapters.openai_agents._end import bring
from lucidic_adapters.openai_agents._processor import LucidicTracingProcessor
from lucidic_adapters.openai_agents._sessions import RunCall, current_call


def instrument(**options: Any) -> Callable[[], None]:
    """Trace every run of the SDK in this process.

    Adds a ``LucidicTracingProcessor`` beside the user's own processors, and wraps the runner for what
    callbacks are not told: ``conversation_id``, the SDK's ``Session``, the input and the final output.

    Args:
        **options: The options of ``LucidicTracingProcessor``.

    Returns:
        The function that undoes it; it leaves no trace of us.

    """
    processor = LucidicTracingProcessor(**options)
    add_trace_processor(processor)
    undo = _wrap_runner(processor)

    def remove() -> None:
        undo()
        _remove_processor(processor)

    return remove


def processors() -> tuple[Any, ...] | None:
    """Return the SDK's processors; ``None`` where a provider of another kind does not show them."""
    found = getattr(getattr(get_trace_provider(), "_multi_processor", None), "_processors", None)
    return found if isinstance(found, tuple) else None


def _remove_processor(processor: LucidicTracingProcessor) -> None:
    """Take the processor out; the SDK has no public way that keeps the others in place (0.24)."""
    registered = processors()
    if registered is not None and processor in registered:
        get_trace_provider().set_processors([item for item in registered if item is not processor])


def _wrap_runner(processor: LucidicTracingProcessor) -> Callable[[], None]:
    run, run_streamed = AgentRunner.__dict__["run"], AgentRunner.__dict__["run_streamed"]

    @functools.wraps(run)
    async def traced_run(self: Any, starting_agent: Any, input: Any, **kwargs: Any) -> Any:
        call = RunCall(input, kwargs)
        call.ending = []
        token = current_call.set(call)
        try:
            call.result = result = await run(self, starting_agent, input, **kwargs)
            return result
        except BaseException as error:
            call.error = error
            raise
        finally:
            _finish(call, processor)
            _reset(token)

    @functools.wraps(run_streamed)
    def traced_run_streamed(self: Any, starting_agent: Any, input: Any, **kwargs: Any) -> Any:
        call = RunCall(input, kwargs)
        token = current_call.set(call)
        try:
            result = run_streamed(self, starting_agent, input, **kwargs)
            call.result = weakref.ref(result)
            return result
        finally:
            _reset(token)

    AgentRunner.run = traced_run  # type: ignore[method-assign]
    AgentRunner.run_streamed = traced_run_streamed  # type: ignore[method-assign]

    def undo() -> None:
        for name, ours, theirs in (
            ("run", traced_run, run),
            ("run_streamed", traced_run_streamed, run_streamed),
        ):
            if AgentRunner.__dict__.get(name) is ours:
                setattr(AgentRunner, name, theirs)

    return undo


def _finish(call: RunCall, processor: LucidicTracingProcessor) -> None:
    with guarded("agents run end"):
        bring(call)
        if not call.seen and call.error is None:
            _say_why_nothing_came(processor)
        call.input = call.session = call.result = call.error = None


def _reset(token: Any) -> None:
    try:
        current_call.reset(token)
    except ValueError:
        return  # closed from another context: nothing of ours is left in this one


def _say_why_nothing_came(processor: LucidicTracingProcessor) -> None:
    registered = processors()
    if registered is not None and processor not in registered:
        log_once_a_minute(
            "agents removed",
            "lucidic: set_trace_processors() removed lucidic's processor, so this run was not traced; "
            "use add_trace_processor() for others, or call lai.instrument('openai_agents') after it.",
        )
