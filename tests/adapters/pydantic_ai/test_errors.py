"""Failures: the right span, the true status, and what was asked when it failed."""

from __future__ import annotations

import json

import pytest
from opentelemetry import trace
from pydantic_ai import Agent, ModelRetry
from pydantic_ai.exceptions import ModelHTTPError, UnexpectedModelBehavior, UsageLimitExceeded
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import UsageLimits

from lucidic import _guard
from lucidic_adapters.pydantic_ai import _messages


ERROR = trace.StatusCode.ERROR
OK = trace.StatusCode.OK


def exceptions(span):
    return [event.attributes["exception.type"].rpartition(".")[2] for event in span.events]


@pytest.fixture
def looker(script, call):
    """Return an agent whose model calls ``look`` once, then answers, and its statuses by span name."""

    def make(tool, *answers, **options):
        agent = Agent(script([call("look", x=1)], *(answers or ("done",))), name="looker", **options)
        agent.tool_plain(tool, name="look") if tool is not None else None
        return agent

    return make


def test_a_tool_that_raises(traced, looker):
    """The tool's span and the run's are errors, the model's call is not."""

    def look(x: int) -> str:
        raise KeyError("no such city")

    with pytest.raises(KeyError):
        looker(look).run_sync("go")
    assert [(span.name, span.status.status_code) for span in traced.spans] == [
        ("chat scripted", OK), ("execute_tool look", ERROR), ("invoke_agent looker", ERROR),
    ]  # fmt: skip
    assert exceptions(traced.named("execute_tool look")) == ["KeyError"]


def test_a_tool_that_asks_for_another_try(traced, looker, version):
    """ModelRetry is the tool's outcome, with the words for the model; the run goes on."""

    def look(x: int) -> str:
        raise ModelRetry("Which city?")

    looker(look).run_sync("go")
    tool = traced.named("execute_tool look")
    assert tool.status.status_code is ERROR
    assert "Which city?" in tool.attributes["output.value"]
    assert tool.attributes["pydantic_ai.tool.retry.cause"] == "model_retry"
    assert traced.named("invoke_agent looker").status.status_code is OK
    if version >= (2, 0):
        assert exceptions(tool) == ["ModelRetry"]
    last = dict([span for span in traced.spans if span.name == "chat scripted"][-1].attributes)
    assert last["llm.input_messages.2.message.role"] == "tool"
    assert "Which city?" in last["llm.input_messages.2.message.content"]
    assert last["llm.input_messages.2.message.tool_call_id"] == "call-1"


def test_arguments_that_do_not_fit(traced, looker, version):
    """Arguments that fail validation are an error of the tool's span, where the SDK makes one."""

    def look(x: bool, y: str) -> str:
        return "seen"

    looker(look).run_sync("go")
    assert traced.named("invoke_agent looker").status.status_code is OK
    tools = [span for span in traced.spans if span.name == "execute_tool look"]
    if tools:
        assert tools[0].status.status_code is ERROR
        assert tools[0].attributes["pydantic_ai.tool.retry.cause"] == "validation_error"
    assert tools or (1, 95) <= version < (2, 30)


def test_a_tool_that_does_not_exist(traced, looker):
    """A call of an unknown tool is answered, and the run goes on."""
    looker(None).run_sync("go")
    assert traced.named("invoke_agent looker").status.status_code is OK
    last = dict([span for span in traced.spans if span.name == "chat scripted"][-1].attributes)
    assert "Unknown tool" in last["llm.input_messages.2.message.content"]


def test_retries_run_out(traced, script, call):
    """When retries are exhausted the run is the error."""
    agent = Agent(script([call("look")], [call("look")], [call("look")]), name="looker")

    @agent.tool_plain
    def look() -> str:
        raise ModelRetry("again")

    with pytest.raises(UnexpectedModelBehavior):
        agent.run_sync("go")
    run = traced.named("invoke_agent looker")
    assert (run.status.status_code, exceptions(run)) == (ERROR, ["UnexpectedModelBehavior"])


def test_a_limit(traced, looker):
    """A usage limit is the run's error."""
    with pytest.raises(UsageLimitExceeded):
        looker(lambda x: "seen").run_sync("go", usage_limits=UsageLimits(request_limit=1))
    assert traced.named("invoke_agent looker").status.status_code is ERROR


def test_a_model_that_fails_keeps_its_input(traced, script, attributes_of):
    """A failed request has its messages, tools and parameters, and the true error."""
    agent = Agent(
        script(ModelHTTPError(500, "scripted", {"error": "down"})),
        name="asker",
        instructions="Be kind.",
        model_settings={"temperature": 0.1},
    )

    @agent.tool_plain
    def look(city: str) -> str:
        """Look at a city."""
        return city

    with pytest.raises(ModelHTTPError):
        agent.run_sync("hello")
    chat, found = traced.named("chat scripted"), attributes_of("chat scripted")
    assert chat.status.status_code is ERROR
    assert "500" in chat.status.description
    assert exceptions(chat) == ["ModelHTTPError"]
    assert found["llm.input_messages.0.message.content"] == "Be kind."
    assert found["llm.input_messages.1.message.content"] == "hello"
    assert found["input.value"] == "hello"
    assert found["llm.model_name"] == "scripted"
    assert json.loads(found["llm.invocation_parameters"]) == {"temperature": 0.1}
    assert json.loads(found["llm.tools.0.tool.json_schema"])["function"]["name"] == "look"
    assert "output.value" not in found


async def test_a_stream_that_breaks(traced, streaming, version):
    """An error in the middle of a stream is the model call's error and the run's.

    What came before it is kept where the SDK hands it over.
    """
    agent = Agent(streaming("Hello ", error=RuntimeError("line cut")), name="talker")
    with pytest.raises(RuntimeError):
        async with agent.run_stream("hi") as stream:
            [text async for text in stream.stream_text(delta=True, debounce_by=None)]
    for name in ("chat streaming", "invoke_agent talker"):
        span = traced.named(name)
        assert (span.status.status_code, exceptions(span)) == (ERROR, ["RuntimeError"])
        assert span.attributes["input.value"] == "hi"
        if version < (1, 95) or version >= (2, 60):
            assert span.attributes["output.value"] == "Hello "


async def test_a_reader_that_raises_breaks_no_model(traced, streaming, version):
    """An error of the code that reads a stream is the run's, not the model's."""
    if version < (1, 95):
        pytest.skip("the SDK throws its reader's errors through the model's span before 1.95")
    agent = Agent(streaming("Hello ", "brave ", "world"), name="talker")
    with pytest.raises(RuntimeError):
        async with agent.run_stream("hi") as stream:
            async for _ in stream.stream_text(delta=True, debounce_by=None):
                raise RuntimeError("the reader's own")
    assert traced.named("chat streaming").status.status_code is not ERROR
    assert traced.named("invoke_agent talker").status.status_code is ERROR


def test_a_fault_of_ours_stays_ours(traced, monkeypatch, caplog):
    """A fault in our translation changes neither the run nor the status of a span."""
    monkeypatch.setattr(_guard.state, "reraise", False)

    def broken(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(_messages, "facts_of", broken)
    assert Agent(TestModel(custom_output_text="fine"), name="calm").run_sync("hello").output == "fine"
    assert traced.named("chat test").status.status_code is OK
    assert traced.named("chat test").attributes["openinference.span.kind"] == "LLM"
    assert "internal error" in caplog.text


def test_a_deferred_call_is_no_error(traced, script, call):
    """A call that waits for an approval is neither an error nor done."""
    from pydantic_ai import DeferredToolRequests
    from pydantic_ai.exceptions import CallDeferred

    agent = Agent(script([call("look")]), name="asker", output_type=[str, DeferredToolRequests])

    @agent.tool_plain
    def look() -> str:
        raise CallDeferred

    agent.run_sync("go")
    tool = traced.named("execute_tool look")
    assert tool.status.status_code is trace.StatusCode.UNSET
    assert tool.attributes["pydantic_ai.tool.deferral.name"] == "CallDeferred"
    assert traced.named("invoke_agent asker").status.status_code is OK
