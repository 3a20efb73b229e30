"""Real model packages against the scripted server: what their responses become."""

from __future__ import annotations

import json
import sys

import httpx
import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from opentelemetry import propagate, trace
from pydantic import BaseModel

from lucidic.testing import Reply, ScriptedServer, ToolCall, Usage, assert_openinference, session_id_of


openai = pytest.importorskip("langchain_openai")
anthropic = pytest.importorskip("langchain_anthropic")


@pytest.fixture(params=["chat", "responses", "messages"])
def api(request):
    return request.param


def _model(api, server, **fields):
    if api == "messages":
        return anthropic.ChatAnthropic(
            model="claude-test", base_url=server.anthropic_url, api_key="none", max_retries=0, **fields
        )
    return openai.ChatOpenAI(
        model="gpt-5", base_url=server.openai_url, api_key="none", max_retries=0, stream_usage=True,
        use_responses_api=api == "responses", **fields,
    )  # fmt: skip


ANSWER = Reply(text="It is sunny.", usage=Usage(prompt=30, completion=12, cached=10, reasoning=4))


def _check_answer(api, found):
    assert found["llm.provider"] == ("anthropic" if api == "messages" else "openai")
    assert found["llm.model_name"]
    assert found["llm.output_messages.0.message.role"] == "assistant"
    assert "It is sunny." in json.dumps(dict(found), default=str)
    assert found["output.value"] == "It is sunny."
    assert found["llm.token_count.prompt"] == 30
    assert found["llm.token_count.completion"] == 12
    assert found["llm.token_count.total"] == 42
    assert found["llm.token_count.prompt_details.cache_read"] == 10
    assert found["llm.finish_reason"]


def test_answer(api, config, tree):
    """An answer has provider, model, text, tokens with cached ones, and finish reason."""
    with ScriptedServer([ANSWER]) as server:
        _model(api, server).invoke("What is the weather?", config)
    _check_answer(api, tree.one("LLM").attributes)


async def test_streamed_answer(api, config, tree):
    """The same for a streamed answer, with an event for its first token."""
    with ScriptedServer([ANSWER]) as server:
        async for _ in _model(api, server).astream("What is the weather?", config):
            pass
    span = tree.one("LLM")
    _check_answer(api, span.attributes)
    assert [event.name for event in span.events] == ["First Token Stream Event"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="LangChain passes an agent's model no callbacks there")
async def test_agent(api, config, captured, tree):
    """An agent's turn is one trace: agent, two model calls with tools, and the tool's run, all joined by ids."""

    @tool
    async def weather(city: str) -> str:
        """Tell the weather."""
        return f"sunny in {city}"

    script = [Reply(tool_calls=(ToolCall("weather", {"city": "Paris"}, id="call_1"),)), ANSWER]
    with ScriptedServer(script) as server:
        agent = create_agent(_model(api, server), [weather], system_prompt="Be kind.", name="bob")
        await agent.ainvoke(
            {"messages": [("user", "What is the weather in Paris?")]},
            {**config, "metadata": {"thread_id": "t-1"}},
        )
    first, second = sorted(tree.of_kind("LLM"), key=lambda span: span.start_time)
    run = tree.one("TOOL").attributes
    prefix = "llm.output_messages.0.message.tool_calls.0.tool_call."
    assert first.attributes[prefix + "id"] == run["tool.id"] == "call_1"
    assert json.loads(first.attributes[prefix + "function.arguments"]) == {"city": "Paris"}
    assert first.attributes["llm.tools.0.tool.name"] == "weather"
    assert run["output.value"] == "sunny in Paris"
    _check_answer(api, {**second.attributes, "output.value": "It is sunny."})
    assert tree.one("AGENT").attributes["output.value"] == "It is sunny."
    assert {session_id_of(span) for span in captured.spans} == {"t-1"}
    assert len(tree.traces()) == 1
    ours = [span for span in captured.spans if span.instrumentation_scope.name == "lucidic.langchain"]
    assert_openinference(ours)  # anthropic's client makes spans of its own


def test_reasoning(config, tree):
    """What a model thought is told apart from what it said."""
    with ScriptedServer([Reply(text="Yes.", reasoning="Let me think.")]) as server:
        _model("responses", server, reasoning={"summary": "auto"}).invoke("Is it?", config)
    found = tree.one("LLM").attributes
    kinds = {key: value for key, value in found.items() if key.endswith("message_content.type")}
    assert "reasoning" in kinds.values()
    assert "Let me think." in found.values()


def test_refusal(config, tree):
    """A refusal's words are the answer."""
    with ScriptedServer([Reply(refusal="I will not.")]) as server:
        _model("chat", server).invoke("Do it.", config)
    found = tree.one("LLM").attributes
    assert found["output.value"] == "I will not."
    assert found["llm.output_messages.0.message.content"] == "I will not."


def test_error(api, config, tree):
    """A provider's error is the span's, with its message."""
    with (
        ScriptedServer([Reply(status=400, error="no such thing")]) as server,
        pytest.raises(Exception, match="no such"),
    ):
        _model(api, server).invoke("x", config)
    span = tree.one("LLM")
    assert span.status.status_code.name == "ERROR"
    assert "no such thing" in span.status.description
    assert [event.name for event in span.events] == ["exception"]


class Client(httpx.Client):
    """A client that tells the server whose request it is, from inside a span of its own, as instrumentations do."""

    def send(self, request, **kwargs):
        propagate.inject(request.headers, setter=SETTER)
        with trace.get_tracer("http").start_as_current_span("http"):
            return super().send(request, **kwargs)


class AsyncClient(httpx.AsyncClient):
    async def send(self, request, **kwargs):
        propagate.inject(request.headers, setter=SETTER)
        with trace.get_tracer("http").start_as_current_span("http"):
            return await super().send(request, **kwargs)


class _Setter:
    def set(self, carrier, key, value):
        carrier[key] = value


SETTER = _Setter()


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
async def test_client_spans(config, tree, how):
    """An HTTP client's span is a child of the model call, which the server hears of, however it is called."""
    with ScriptedServer([ANSWER]) as server, Client() as client:
        async with AsyncClient() as asynchronous:
            model = _model("chat", server, http_client=client, http_async_client=asynchronous)
            if how == "invoke":
                model.invoke("x", config)
            elif how == "ainvoke":
                await model.ainvoke("x", config)
            elif how == "stream":
                list(model.stream("x", config))
            else:
                async for _ in model.astream("x", config):
                    pass
        (request,) = server.requests
    assert tree.kinds_above("http") == ["LLM"]
    _, trace_id, span_id, _ = request.headers["traceparent"].split("-")
    context = tree.one("LLM").context
    assert (int(trace_id, 16), int(span_id, 16)) == (context.trace_id, context.span_id)


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_structured_output(config, tree, method):
    """The structure that an answer must have is told with the parameters, whichever way it is asked for."""
    call = ToolCall("Person", {"name": "Ann", "age": 7}, id="call_1")
    text = json.dumps({"name": "Ann", "age": 7})
    reply = Reply(tool_calls=(call,)) if method == "function_calling" else Reply(text=text)
    with ScriptedServer([reply]) as server:
        asking = _model("chat", server).with_structured_output(Person, method=method)
        assert asking.invoke("Who?", config) == Person(name="Ann", age=7)
    found = tree.one("LLM").attributes
    assert "Person" in found["llm.invocation_parameters"]
    assert '"age"' in found["llm.invocation_parameters"]
    if method == "function_calling":
        assert found["llm.tools.0.tool.name"] == "Person"
    (root,) = [span for span in tree.spans if span.parent is None]
    assert json.loads(root.attributes["output.value"]) == {"name": "Ann", "age": 7}
