"""``instrument()``: what callbacks are not told, taken where the SDK's public entry points are called."""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from contextvars import Token
from typing import Any, Final

from agents import ToolTimeoutError
from agents.run import AgentRunner
from agents.tracing import add_trace_processor, get_trace_provider
from agents.tracing.traces import NoOpTrace

from lucidic.adapterkit import block_of_generator, guarded, traces
from lucidic_adapters.openai_agents._context import settle
from lucidic_adapters.openai_agents._end import bring
from lucidic_adapters.openai_agents._hints import processors, say_why_nothing_came
from lucidic_adapters.openai_agents._processor import LucidicTracingProcessor
from lucidic_adapters.openai_agents._realtime import tool_failed
from lucidic_adapters.openai_agents._realtime_install import wrap_sessions
from lucidic_adapters.openai_agents._sessions import RunCall, current_call
from lucidic_adapters.openai_agents._siblings import siblings


Undo = Callable[[], None]

_HANDLER: Final = "maybe_invoke_function_tool_failure_error_function"
"""What turns a tool's exception into an answer (0.24); where it has moved, the SDK's redacted account remains."""
_HANDLED_IN: Final = ("agents.tool", "agents.run_internal.tool_execution")
_TIMEOUT_WORDS: Final = "default_tool_timeout_error_message"
"""What words the answer for a tool that took too long (0.24); where it has moved, such a tool has no error."""

_on: Final[set[LucidicTracingProcessor]] = set()
"""The processors of ``instrument()`` while it holds, wherever they are registered."""


class Instrumented:
    """What ``instrument()`` did; called, it undoes it and leaves no trace of us. Runs under way still end."""

    def __init__(self, processor: LucidicTracingProcessor, undone: list[Undo]) -> None:
        self._processor = processor
        self._undone = undone

    def __call__(self) -> None:
        """Undo it."""
        _on.discard(self._processor)
        for undo in self._undone:
            undo()
        _remove_processor(self._processor)

    def again(self) -> None:
        """Register the processor once more where ``set_trace_processors()`` has removed it."""
        registered = processors()
        if registered is not None and self._processor not in registered:
            add_trace_processor(self._processor)


def _stay(processor: LucidicTracingProcessor) -> None:
    """Join another tracer that took the place of all processors (OpenInference's instrumentor does).

    A list without any processor is the user's own word, and stands.
    """
    registered = processors()
    if registered and processor not in registered and not processor.is_leaving:
        add_trace_processor(processor)


def instrument(**options: Any) -> Instrumented:
    """Trace every run of the SDK in this process.

    Adds a ``LucidicTracingProcessor`` beside the user's own processors (where the program has added one itself, that
    one makes the spans, with its options), and wraps the runner for what
    callbacks are not told: ``conversation_id``, the SDK's ``Session``, the input and the final output.
    Realtime sessions, of which the SDK makes no spans, are followed as well.

    Args:
        **options: The options of ``LucidicTracingProcessor``.

    Returns:
        What undoes it when it is called, and registers the processor ``again()`` where others removed it.

    """
    processor = LucidicTracingProcessor(**options)
    processor.gives_way = True
    add_trace_processor(processor)
    _on.add(processor)
    undone = [
        *_wrap_runner(processor),
        *_wrap_tool_failures(processor),
        *_wrap_tool_timeouts(processor),
        *wrap_sessions(_replace, processor.tracer, processor.session_keys, _is_tracing(processor)),
    ]
    return Instrumented(processor, undone)


def _is_tracing(processor: LucidicTracingProcessor) -> Callable[[], bool]:
    """Realtime sessions make no callbacks: whether they are traced is asked of the SDK when they start."""

    def is_tracing() -> bool:
        _stay(processor)
        registered = processors()
        if registered is not None and processor not in registered:
            return False
        return not isinstance(get_trace_provider().create_trace("asked, never started"), NoOpTrace)

    return is_tracing


def _remove_processor(processor: LucidicTracingProcessor) -> None:
    """Take the processor out; the SDK has no public way that keeps the others in place (0.24)."""

    def take_out() -> None:
        registered = processors()
        if registered is not None and processor in registered:
            get_trace_provider().set_processors([item for item in registered if item is not processor])

    processor.drain(take_out)


def _wrap_runner(processor: LucidicTracingProcessor) -> list[Undo]:
    run, run_streamed = AgentRunner.run, AgentRunner.run_streamed

    @functools.wraps(run)
    async def traced_run(self: Any, starting_agent: Any, input: Any, **kwargs: Any) -> Any:
        _stay(processor)
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
            _reset(token)
            _finish(call, processor)

    @functools.wraps(run_streamed)
    def traced_run_streamed(self: Any, starting_agent: Any, input: Any, **kwargs: Any) -> Any:
        _stay(processor)
        call = RunCall(input, kwargs)
        token = current_call.set(call)
        try:
            with block_of_generator() or nullcontext():  # the run goes on in a task of its own
                result = run_streamed(self, starting_agent, input, **kwargs)
            call.result = weakref.ref(result)
        finally:
            _reset(token)
        if getattr(result.trace, "trace_id", None) == "no-op":
            say_why_nothing_came(processor)
        return result

    return [
        _replace(AgentRunner, "run", traced_run),
        _replace(AgentRunner, "run_streamed", traced_run_streamed),
    ]


def _wrap_tool_failures(processor: LucidicTracingProcessor) -> list[Undo]:
    undone = []
    for name in _HANDLED_IN:
        module = sys.modules.get(name)
        handler = getattr(module, _HANDLER, None)
        if handler is not None:
            undone.append(_replace(module, _HANDLER, _telling(handler, processor)))
    return undone


def _wrap_tool_timeouts(processor: LucidicTracingProcessor) -> list[Undo]:
    module = sys.modules.get("agents.tool")
    words = getattr(module, _TIMEOUT_WORDS, None)
    if words is None:
        return []

    @functools.wraps(words)
    def told(*args: Any, **kwargs: Any) -> Any:
        with guarded("agents tool timeout"):
            error = ToolTimeoutError(*args, **kwargs)
            _tell(processor, error)
        return words(*args, **kwargs)

    return [_replace(module, _TIMEOUT_WORDS, told)]


def _tell(processor: LucidicTracingProcessor, error: BaseException) -> None:
    """Tell whoever has the span of the tool that raised."""
    for ours in (processor, *siblings(processor)):
        ours.tool_failed(error)
    tool_failed(error)


def _telling(handler: Callable[..., Any], processor: LucidicTracingProcessor) -> Callable[..., Any]:
    @functools.wraps(handler)
    async def told(*args: Any, **kwargs: Any) -> Any:
        error = kwargs.get("error")
        if isinstance(error, BaseException):
            _tell(processor, error)
        return await handler(*args, **kwargs)

    return told


def _replace(owner: Any, name: str, ours: Any) -> Undo:
    """Put ``ours`` in the place of an attribute; undone only if nobody has wrapped it since."""
    theirs = owner.__dict__[name]
    setattr(owner, name, ours)

    def undo() -> None:
        if owner.__dict__.get(name) is ours:
            setattr(owner, name, theirs)

    return undo


def _finish(call: RunCall, processor: LucidicTracingProcessor) -> None:
    with guarded("agents run end"):
        settle()
        bring(call)
        if not call.seen and call.error is None:
            say_why_nothing_came(processor)
        # The call lives on in the contexts that the run's tasks have copied.
        call.input = call.session = call.metadata = call.result = call.error = None


def _reset(token: Token[RunCall | None]) -> None:
    try:
        current_call.reset(token)
    except ValueError:
        return  # closed from another context: nothing of ours is left in this one


def _is_told() -> bool:
    """Tell whether a processor of ours is told what the SDK tells another tracer, or is about to join it."""
    return bool(_on) or any(isinstance(item, LucidicTracingProcessor) for item in processors() or ())


traces("openai_agents", _is_told)
