"""With our instrumentation on, a program's results, messages, events, errors and warnings are as without it."""

from __future__ import annotations

import contextlib
import dataclasses
import re

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_ai import Agent, ModelRetry, RunContext, capture_run_messages
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import ModelMessagesTypeAdapter
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import UsageLimits

import lucidic as lai


_OF_ITS_TIME = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:.]+Z|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|pyd_ai_[0-9a-f]+"
)
"""Times and ids that are made up anew in each run."""


def stored(messages):
    return _OF_ITS_TIME.sub("*", ModelMessagesTypeAdapter.dump_json(messages).decode())


async def words(messages, info):
    for word in ("Hello ", "brave ", "world"):
        yield word


@dataclasses.dataclass
class City:
    name: str
    size: int


async def a_run():
    agent = Agent(TestModel(), name="plain", deps_type=int, output_type=City, instructions="Be kind.")

    @agent.tool
    def look(ctx: RunContext[int], x: int) -> str:
        if ctx.retry == 0:
            raise ModelRetry("again")
        return f"{ctx.deps} {ctx.prompt} {ctx.run_step} {ctx.tool_call_id is not None}"

    result = await agent.run("hello", deps=3, metadata={"tenant": "north"})
    return result.output, stored(result.all_messages()), result.new_messages() == result.all_messages()


async def a_stream():
    agent = Agent(FunctionModel(stream_function=words), name="talker")
    async with agent.run_stream("hello") as stream:
        heard = [text async for text in stream.stream_text(debounce_by=None)]
    return heard, stored(stream.all_messages())


async def a_stream_left_early():
    agent = Agent(FunctionModel(stream_function=words), name="talker")
    async with agent.run_stream("hello") as stream:
        async for text in stream.stream_text(delta=True, debounce_by=None):
            return text
    return None


async def nodes():
    agent = Agent(TestModel(), name="walker")
    async with agent.iter("hello") as run:
        return [type(node).__name__ async for node in run]


async def events():
    heard = []

    async def listen(ctx, given):
        heard.extend([type(event).__name__ async for event in given])

    await Agent(TestModel(), name="talker").run("hello", event_stream_handler=listen)
    return heard


async def a_limit():
    agent = Agent(TestModel(), name="limited")

    @agent.tool_plain
    def look() -> str:
        return "seen"

    with capture_run_messages() as messages:
        try:
            await agent.run("hello", usage_limits=UsageLimits(request_limit=1))
        except Exception as error:
            return type(error).__name__, str(error), stored(messages)


async def a_bad_model():
    def broken(messages, info):
        raise UnexpectedModelBehavior("no sense", "body")

    try:
        await Agent(FunctionModel(broken), name="broken").run("hello")
    except Exception as error:
        return type(error).__name__, str(error), type(error.__cause__), type(error.__context__)


async def a_delegate():
    inner = Agent(TestModel(custom_output_text="inner"), name="inner")
    outer = Agent(TestModel(), name="outer")

    @outer.tool
    async def ask(ctx: RunContext[None]) -> str:
        return (await inner.run("hello", usage=ctx.usage)).output

    result = await outer.run("hello")
    return result.output, stored(result.all_messages())


SCENARIOS = [
    a_run,
    a_stream,
    a_stream_left_early,
    nodes,
    events,
    a_limit,
    a_bad_model,
    a_delegate,
]


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_what_the_program_sees(captured, scenario):
    """Each scenario gives the same with and without us."""
    alone = await scenario()
    with lai.instrument("pydantic_ai"):
        traced = await scenario()
    assert captured.spans
    assert traced == alone


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_what_pydantic_ais_own_tracing_sees(captured, scenario):
    """An instrumentation of PydanticAI's own, given to agents, exports the same spans with and without us."""
    alone = await _native_spans(scenario, contextlib.nullcontext())
    beside = await _native_spans(scenario, lai.instrument("pydantic_ai"))
    assert beside == alone


async def _native_spans(scenario, ours):
    provider, exporter = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with ours:
        before = Agent._instrument_default
        Agent.instrument_all(InstrumentationSettings(tracer_provider=provider))
        try:
            await scenario()
        finally:
            Agent.instrument_all(before)
    return [
        (
            span.name,
            span.status.status_code,
            [event.name for event in span.events],
            {key: _OF_ITS_TIME.sub("*", str(value)) for key, value in span.attributes.items()
             if not key.endswith(("time_to_first_chunk", "cost"))},
        )
        for span in exporter.get_finished_spans()
    ]  # fmt: skip
