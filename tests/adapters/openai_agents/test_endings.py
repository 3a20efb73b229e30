"""How runs and tools end when they do not end well: stopped, cancelled, out of turns or out of time."""

from __future__ import annotations

import asyncio

import pytest
from agents import InputGuardrail, MaxTurnsExceeded, Runner, function_tool
from opentelemetry.trace import StatusCode

from lucidic.testing import Reply, ToolCall, assert_openinference


WORK = Reply(tool_calls=(ToolCall("work", {"hours": 8}, id="call_1"),))
RUNS = ("run Agent workflow", "Agent workflow")


@function_tool
def work(hours: int) -> str:
    """Work."""
    return f"worked {hours} hours"


async def read(stream):
    async for _ in stream.stream_events():
        pass


async def test_too_many_turns_fail_a_streamed_run(either, scripted):
    """Only the reader of the stream is told; the run and its workflow have the error and its event all the same."""
    agent = scripted(lambda _: WORK).agent(tools=[work])
    with pytest.raises(MaxTurnsExceeded):
        await read(Runner.run_streamed(agent, "Work", max_turns=1))
    for name in RUNS:
        span = either.named(name)
        assert "MaxTurnsExceeded: Max turns (1) exceeded" == span.status.description
        assert ["exception"] == [event.name for event in span.events]


async def test_turns_that_a_handler_makes_up_for_do_not_fail_a_streamed_run(either, scripted):
    """Where the user's handler answers in place of the model, its answer is the run's."""
    agent = scripted(lambda _: WORK).agent(tools=[work])
    handlers = {"max_turns": lambda _: "I gave up."}
    await read(Runner.run_streamed(agent, "Work", max_turns=1, error_handlers=handlers))
    for name in RUNS:
        span = either.named(name)
        assert (StatusCode.OK, "I gave up.") == (span.status.status_code, span.attributes["output.value"])


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_guardrail_that_raises_fails_the_run(either, scripted, streamed):
    """Beside the model's first call it cancels the run; what is told is its error, not that it was cancelled."""

    async def broken(*_args):
        raise LookupError("no list of words")

    agent = scripted(lambda _: "Hi.").agent(input_guardrails=[InputGuardrail(broken)])
    with pytest.raises(LookupError):
        await (read(Runner.run_streamed(agent, "Hi")) if streamed else Runner.run(agent, "Hi"))
    for name in ("broken", *RUNS):
        assert "LookupError: no list of words" == either.named(name).status.description
        assert "lucidic.cancelled" not in either.named(name).attributes


async def test_a_stream_that_is_left_after_a_turn_says_so(either, scripted):
    """``cancel(mode="after_turn")`` is no error; the run and its workflow say that they stopped early."""
    stream = Runner.run_streamed(scripted(lambda _: WORK).agent(tools=[work]), "Work")
    async for _ in stream.stream_events():
        stream.cancel(mode="after_turn")
    for name in RUNS:
        assert either.named(name).attributes["lucidic.stopped_early"] is True


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_that_is_cancelled_with_its_run_tells_its_call(either, scripted, streamed):
    """Nobody waits for it: its span ends with the run, as cancelled, with the call's id and arguments."""
    at_work = asyncio.Event()

    @function_tool(name_override="work")
    async def endless(hours: int) -> str:
        at_work.set()
        await asyncio.Event().wait()
        return f"worked {hours} hours"

    agent = scripted(lambda _: WORK).agent(tools=[endless])
    if streamed:
        stream = Runner.run_streamed(agent, "Work")
        await at_work.wait()
        stream.cancel()
        await asyncio.wait([stream.run_loop_task])
    else:
        task = asyncio.create_task(Runner.run(agent, "Work"))
        await at_work.wait()
        task.cancel()
        await asyncio.wait([task])
    tool = either.named("work")
    assert ("call_1", '{"hours":8}') == (tool.attributes["tool.id"], tool.attributes["input.value"])
    for name in ("work", "turn 1", "Guide", *RUNS):
        assert either.named(name).attributes["lucidic.cancelled"] is True
        assert StatusCode.UNSET is either.named(name).status.status_code
    assert len(either.started) == len(either.spans)


async def test_a_tool_that_takes_too_long_has_an_error(traced, scripted):
    """The SDK answers the model in its place; the span says that it timed out, and the run goes on."""

    @function_tool(name_override="work", timeout=0.01)
    async def endless(hours: int) -> str:
        await asyncio.Event().wait()
        return f"worked {hours} hours"

    result = await Runner.run(scripted([WORK, "Later."]).agent(tools=[endless]), "Work")
    tool = traced.named("work")
    assert "ToolTimeoutError: Tool 'work' timed out after 0.01 seconds." == tool.status.description
    assert "timed out" in tool.attributes["output.value"]
    assert ("Later.", StatusCode.OK) == (
        result.final_output,
        traced.named("Agent workflow").status.status_code,
    )


@pytest.mark.parametrize("arguments", ["{not json", "{not json}", "[1,", "[2]"])
async def test_arguments_that_are_no_json_are_text(traced, scripted, arguments):
    """What a model got wrong is kept as it said it, and is not called JSON."""
    call = Reply(tool_calls=(ToolCall("work", arguments, id="call_1"),))
    await Runner.run(scripted([call, "Sorry."]).agent(tools=[work]), "Work", conversation_id="c-1")
    assert arguments == traced.named("work").attributes["input.value"]
    assert_openinference(traced.spans)
