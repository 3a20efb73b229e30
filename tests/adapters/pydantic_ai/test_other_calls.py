"""What is neither a run, nor a chat, nor a tool: waiting for a slot, decisions, images, callbacks."""

from __future__ import annotations

import asyncio
import json

import pytest
from opentelemetry import trace
from pydantic_ai import Agent
from pydantic_ai.models.function import DeltaToolCall, FunctionModel
from pydantic_ai.models.test import TestModel

import lucidic as lai


A = "conversation-of-ada-0001"
B = "conversation-of-bob-0002"


def user_span(name):
    with trace.get_tracer("users-code").start_as_current_span(name):
        pass


async def test_waiting_for_a_slot(traced):
    """The SDK's span of a run that waits for another is in the session of the run that waits."""
    concurrency = pytest.importorskip("pydantic_ai.concurrency", reason="limits came after 1.56")
    first_asked, go = asyncio.Event(), asyncio.Event()

    async def answer(messages, info):
        first_asked.set()
        await go.wait()
        return TestModel(custom_output_text="hi")._request(messages, None, info.model_request_parameters)

    limiter = concurrency.ConcurrencyLimiter(max_running=1, name="narrow")
    agent = Agent(FunctionModel(answer), name="queued", max_concurrency=limiter)

    async def run(session):
        with lai.bind_session(session):
            await agent.run("hello")

    first = asyncio.create_task(run(A))
    await first_asked.wait()
    second = asyncio.create_task(run(B))
    while limiter.waiting_count == 0:
        await asyncio.sleep(0)
    go.set()
    await asyncio.gather(first, second)
    waited = next(span for span in traced.spans if span.name.startswith("waiting for"))
    assert waited.attributes["session.id"] == B


async def test_users_spans_in_callbacks(traced, sessions):
    """Spans of an event handler and of an output function are in the run's session."""

    def shout(text: str) -> str:
        user_span("in output function")
        return text.upper()

    async def listen(ctx, events):
        async for _ in events:
            pass
        user_span("in event handler")

    async def stream(messages, info):
        yield {0: DeltaToolCall(name="final_result", json_args='{"text": "hi"}')}

    agent = Agent(FunctionModel(stream_function=stream), name="loud", output_type=shout)
    result = await agent.run("hello", event_stream_handler=listen, metadata={"session_id": A})
    assert result.output == "HI"
    assert sessions() == {A}
    assert {"in output function", "in event handler"} <= {span.name for span in traced.spans}


def test_a_decision(traced, sessions, attributes_of):
    """A decision model's call is a DECISION with its state, its answers and its models."""
    decisions = pytest.importorskip("pydantic_ai.models.decision", reason="decision models came with 2.x")

    class Judge(decisions.DecisionModel):
        model_name, system = "judge", "scripted"

        async def decide(self, request, model_settings):
            answers = {name: decisions.NoulAnswer(noul=0.9) for name in request.questions}
            return decisions.DecisionResponse(answers=answers, model_name="judge-1")

    from dataclasses import make_dataclass

    verdict = make_dataclass("Verdict", [("safe", bool)])
    with lai.bind_session(A):
        result = Agent(Judge(), name="court", output_type=verdict).run_sync("Is it safe?")
    assert result.output.safe is True
    assert sessions() == {A}
    found = attributes_of("decide judge")
    assert found["openinference.span.kind"] == "DECISION"
    assert (found["decision.request.model_name"], found["decision.response.model_name"]) == (
        "judge",
        "judge-1",
    )
    assert "Is it safe?" in found["input.value"]
    assert 0.9 in {answer["noul"] for answer in json.loads(found["output.value"]).values()}


async def test_images(traced, sessions, attributes_of):
    """A request for images is a model call with its prompt."""
    images = pytest.importorskip("pydantic_ai.images", reason="image generation came with 2.x")
    from pydantic_ai.images.test import TestImageGenerationModel

    with lai.bind_session(A):
        await images.ImageGenerator(TestImageGenerationModel()).generate("A red boat")
    assert sessions() == {A}
    (span,) = traced.spans
    assert span.attributes["openinference.span.kind"] == "LLM"
    assert span.attributes["input.value"] == "A red boat"
    assert span.attributes["output.value"] == "1 image"
    assert span.attributes["llm.model_name"]


def test_an_approval_in_another_process(traced, sessions, script, call):
    """A run that waited for an approval goes on from stored messages, in the same session."""
    from pydantic_ai import DeferredToolRequests, DeferredToolResults
    from pydantic_ai.messages import ModelMessagesTypeAdapter

    agent = Agent(script([call("pay")], "paid"), name="payer", output_type=[str, DeferredToolRequests])

    @agent.tool_plain(requires_approval=True)
    def pay() -> str:
        user_span("paying")
        return "done"

    with lai.bind_session(A):
        stored = agent.run_sync("Pay").all_messages_json()
    history = ModelMessagesTypeAdapter.validate_json(stored)
    with lai.bind_session(A):
        result = agent.run_sync(
            message_history=history, deferred_tool_results=DeferredToolResults(approvals={"call-1": True})
        )
    assert result.output == "paid"
    assert sessions() == {A}
    assert traced.named("execute_tool pay").attributes["output.value"] == "done"
    assert len({span.context.trace_id for span in traced.spans}) == 2
