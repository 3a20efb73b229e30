"""What is held after many runs: nothing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os

import agents
import pytest
from agents import Agent, Model, ModelResponse, Runner
from agents.tracing import Span, Trace, generation_span
from agents.usage import Usage
from openai.types.responses import ResponseOutputMessage, ResponseOutputText
from tests.garbage import left_to_the_collector

from lucidic.openai_agents import instrument
from lucidic.testing import capture_spans
from lucidic_adapters.openai_agents._sessions import RunCall
from lucidic_adapters.openai_agents._state import Flow, Work


RUNS = int(os.environ.get("LUCIDIC_MANY_RUNS", "200"))
HELD = (Span, Trace, Flow, Work, RunCall)


class Quick(Model):
    """Answer at once, or wait for ever."""

    def __init__(self):
        self.waiting = asyncio.Event()
        self.waits = False

    async def get_response(self, *args, tracing, **kwargs):
        with generation_span(model="quick", disabled=tracing.is_disabled()):
            if self.waits:
                self.waiting.set()
                await asyncio.Event().wait()
            text = ResponseOutputText(text="Hi.", type="output_text", annotations=[])
            answer = ResponseOutputMessage(
                id="m", type="message", role="assistant", status="completed", content=[text]
            )
            return ModelResponse(output=[answer], usage=Usage(requests=1), response_id=None)

    def stream_response(self, *args, **kwargs):
        raise NotImplementedError


def held():
    """Count what is alive of the SDK's spans and traces and of ours."""
    gc.collect()
    return sum(isinstance(found, HELD) for found in gc.get_objects())


async def test_a_run_leaves_nothing_to_the_garbage_collector(captured):
    """What a finished run needed is gone at once, so that tracing makes no collector run more often."""
    undo = instrument()
    agent = Agent("Quick", model=Quick())
    await Runner.run(agent, "Hi")
    with left_to_the_collector("agents") as left:
        for _ in range(5):
            await Runner.run(agent, "Hi")
        captured.clear()
    assert left == []
    undo()


@pytest.mark.slow
async def test_nothing_is_kept_of_many_runs():
    """Runs, failures, cancelled runs and streams that nobody reads: no span, trace or call is held after them."""
    model = Quick()
    agent = Agent("Quick", model=model)

    async def some(count):
        for number in range(count):
            # The model gives no streams: such runs fail. Every tenth run is cancelled while the model works.
            if number % 10 == 1:
                unread = Runner.run_streamed(agent, "Hi")
                unread.cancel()
                await asyncio.gather(unread.run_loop_task, return_exceptions=True)
            elif number % 10 == 2:
                model.waits = True
                task = asyncio.create_task(Runner.run(agent, "Hi"))
                await model.waiting.wait()
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                model.waits = False
                model.waiting.clear()
            else:
                await Runner.run(agent, "Hi")

    with capture_spans() as captured:
        undo = instrument()
        (processor,) = agents.tracing.get_trace_provider()._multi_processor._processors
        await some(20)
        captured.clear()
        before = held()
        for _ in range(RUNS // 100):
            await some(100)
            captured.clear()
        await asyncio.sleep(0)  # the loop's call that woke this task has the last run's context
        assert held() <= before
        assert (len(processor._works), len(processor._flows), len(processor._finished)) == (0, 0, 0)
        undo()
