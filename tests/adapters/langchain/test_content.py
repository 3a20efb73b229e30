"""What the spans say: messages, tokens, tools, documents, agents, in OpenInference's words."""

from __future__ import annotations

import json
from typing import Annotated

import pytest
from langchain_core.callbacks import BaseCallbackHandler, dispatch_custom_event
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import StructuredTool
from langgraph.graph import START, StateGraph
from langgraph.prebuilt import InjectedState
from opentelemetry.trace import StatusCode

from lucidic.langchain import LucidicHandler
from lucidic_adapters.langchain._messages import message_of


def _text(*blocks):
    return [(type(part).__name__, part) for part in message_of(AIMessage(list(blocks))).content]


def test_tool_calls(lc, config, tree):
    """Tool calls keep id, name and JSON arguments, those with invalid arguments too."""
    answer = lc.calling(("look", {"key": "a"}, "c1"))
    answer.invalid_tool_calls = [
        {"name": "bad", "args": "{no json", "id": "c2", "error": "e", "type": "invalid_tool_call"}
    ]
    lc.chat(answer).invoke("x", config)
    found = tree.one("LLM").attributes
    call = "llm.output_messages.0.message.tool_calls.{}.tool_call."
    assert found[call.format(0) + "id"] == "c1"
    assert found[call.format(0) + "function.name"] == "look"
    assert json.loads(found[call.format(0) + "function.arguments"]) == {"key": "a"}
    assert found[call.format(1) + "id"] == "c2"
    assert json.loads(found[call.format(1) + "function.arguments"]) == "{no json"


def test_tool_run(lc, config, tree):
    """A tool's span has the call's id, arguments as JSON, the description, and the result's text."""
    lc.Tool().invoke({"name": "look", "args": {"key": "a"}, "id": "c1", "type": "tool_call"}, config)
    found = tree.one("TOOL").attributes
    assert found["tool.id"] == "c1"
    assert found["tool.name"] == "look"
    assert json.loads(found["tool.parameters"]) == json.loads(found["input.value"]) == {"key": "a"}
    assert found["tool.description"] == "Look something up."
    assert json.loads(found["tool.json_schema"])["properties"] == {
        "key": {"default": "k", "title": "Key", "type": "string"}
    }
    assert found["output.value"] == "found a"


async def test_schemas_of_tools(config, tree):
    """A tool's schema is what models are told: without injected arguments, given as a class or as a mapping."""
    given = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}

    def double(a: int, state: Annotated[dict, InjectedState] = None) -> int:
        """Double."""
        return 2 * a

    made = StructuredTool.from_function(double)
    mapped = StructuredTool(name="mapped", description="M", args_schema=given, func=lambda a: 2 * a)
    for tool in (made, mapped):
        tool.invoke({"a": 1}, config)
        await tool.ainvoke({"a": 1}, config)
    schemas = [json.loads(span.attributes["tool.json_schema"]) for span in tree.of_kind("TOOL")]
    assert [list(schema["properties"]) for schema in schemas] == [["a"]] * 4
    assert [span.attributes["output.value"] for span in tree.spans] == ["2"] * 4


def test_a_tool_without_a_schema(lc, config, tree):
    """A tool of whose schema Pydantic can make no JSON works, and is shown without."""

    class Odd(lc.Tool):
        @property
        def tool_call_schema(self):
            raise TypeError("no")

    assert Odd().invoke({"key": "a"}, config) == "found a"
    assert "tool.json_schema" not in tree.one("TOOL").attributes


def test_request(lc, config, tree):
    """Parameters, tools with their schema, and the wanted structure are told; keys are not."""
    tool = {
        "type": "function",
        "function": {"name": "look", "description": "d", "parameters": {"type": "object"}},
    }
    model = lc.chat().bind(tools=[tool], temperature=0.2, stop=["\n"], api_key="secret")
    model.invoke("x", config)
    found = tree.one("LLM").attributes
    assert json.loads(found["llm.tools.0.tool.json_schema"])["function"]["name"] == "look"
    assert found["llm.tools.0.tool.name"] == "look"
    assert "secret" not in json.dumps(dict(found), default=str)


def test_messages(lc, config, tree):
    """Every message of the request is told, with its role, name and the call that it answers."""
    call = lc.calling(("look", {}, "c1"))
    said = [SystemMessage("s"), HumanMessage("h", name="joe"), call, ToolMessage("t", tool_call_id="c1")]
    lc.chat("answer").invoke(said, config)
    found = tree.one("LLM").attributes
    prefix = "llm.input_messages.{}.message."
    assert [found[prefix.format(n) + "role"] for n in range(4)] == ["system", "user", "assistant", "tool"]
    assert found[prefix.format(1) + "name"] == "joe"
    assert found[prefix.format(3) + "tool_call_id"] == "c1"
    assert found["llm.output_messages.0.message.content"] == "answer"


@pytest.mark.parametrize(
    ("block", "kind", "value"),
    [
        ({"type": "image_url", "image_url": {"url": "https://x/i.png"}}, "Image", "https://x/i.png"),
        ({"type": "image", "url": "https://x/i.png"}, "Image", "https://x/i.png"),
        (
            {"type": "image", "base64": "QUJD", "mime_type": "image/png"},
            "Image",
            "data:image/png;base64,QUJD",
        ),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "QUJD"}},
            "Image",
            "data:image/jpeg;base64,QUJD",
        ),
        (
            {"type": "file", "base64": "QUJD", "mime_type": "application/pdf"},
            "Document",
            "data:application/pdf;base64,QUJD",
        ),
        (
            {"type": "document", "source": {"type": "url", "url": "https://x/d.pdf"}, "title": "d"},
            "Document",
            "https://x/d.pdf",
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
            "Audio",
            "data:audio/mp3;base64,QUJD",
        ),
        (
            {"type": "audio", "base64": "QUJD", "mime_type": "audio/wav"},
            "Audio",
            "data:audio/wav;base64,QUJD",
        ),
        ({"type": "video", "url": "https://x/v.mp4"}, "Video", "https://x/v.mp4"),
        (
            {"type": "media", "mime_type": "image/png", "data": "QUJD"},
            "Image",
            "data:image/png;base64,QUJD",
        ),
        (
            {"type": "media", "mime_type": "application/pdf", "file_uri": "gs://x"},
            "Document",
            "gs://x",
        ),
    ],
)
def test_media(block, kind, value):
    """Images, documents, audio and video are told in every form that LangChain accepts."""
    ((found, part),) = _text(block)
    assert (found, part.url) == (kind, value)


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ({"type": "thinking", "thinking": "hm", "signature": "s"}, "hm"),
        ({"type": "reasoning", "reasoning": "hm"}, "hm"),
        ({"type": "reasoning", "summary": [{"type": "summary_text", "text": "h"}, {"text": "m"}]}, "h\n\nm"),
    ],
)
def test_reasoning(block, text):
    """Reasoning is told as reasoning, in every provider's form."""
    ((kind, part),) = _text(block)
    assert (kind, part.text) == ("Reasoning", text)


def test_reasoning_and_refusal_beside_the_content():
    """Reasoning, a refusal and a spoken answer that stand beside the content are told."""
    message = AIMessage(
        "", additional_kwargs={"reasoning_content": "hm", "refusal": "no", "audio": {"transcript": "said"}}
    )
    parts = message_of(message).content
    assert [type(part).__name__ for part in parts] == ["Reasoning", "Text", "Audio"]
    assert (parts[0].text, parts[1].text, parts[2].transcript) == ("hm", "no", "said")


def test_first_token(lc, config, tree):
    """A stream has one event for its first token."""
    list(lc.chat("a b c").stream("x", config))
    assert [event.name for event in tree.one("LLM").events] == ["First Token Stream Event"]


def test_retriever(lc, config, tree):
    """Documents are told with content, id, score and metadata."""
    lc.Retriever().invoke("q", config)
    found = tree.one("RETRIEVER").attributes
    prefix = "retrieval.documents.0.document."
    assert found[prefix + "content"] == "about q"
    assert found[prefix + "id"] == "d1"
    assert found[prefix + "score"] == 0.5
    assert json.loads(found[prefix + "metadata"])["source"] == "s"
    assert found["input.value"] == "q"


def test_custom_events(lc, config, tree):
    """A custom event is an event of the span of the run that dispatched it."""
    RunnableLambda(lambda _: dispatch_custom_event("progress", {"done": 1}), name="f").invoke("x", config)
    (event,) = tree.spans[0].events
    assert event.name == "progress"
    assert json.loads(event.attributes["lucidic.event.data"]) == {"done": 1}


def test_tags_and_metadata(lc, config, tree):
    """The user's tags and metadata are told, LangChain's own are not."""
    RunnableLambda(lambda x: x, name="f").invoke(
        "x", {**config, "tags": ["red"], "metadata": {"customer": "acme", "ls_x": 1}}
    )
    found = tree.spans[0].attributes
    assert list(found["tag.tags"]) == ["red"]
    assert json.loads(found["metadata"]) == {"customer": "acme"}


def test_shaped_payloads(lc, config, tree):
    """A node's TracePolicy decides what is recorded of its state."""
    types = pytest.importorskip("langgraph.types")
    if not hasattr(types, "TracePolicy"):
        pytest.skip("this langgraph has no TracePolicy")
    policy = types.TracePolicy(
        process_inputs=lambda _: {"shaped": 1}, process_outputs=lambda _: {"shaped": 2}
    )
    graph = (
        StateGraph(dict)
        .add_node("node", lambda _: {"secret": 2}, trace_policy=policy)
        .add_edge(START, "node")
        .compile()
    )
    graph.invoke({"secret": 1}, config)
    (span,) = [span for span in tree.spans if span.name == "node"]
    assert json.loads(span.attributes["input.value"]) == {"shaped": 1}
    assert json.loads(span.attributes["output.value"]) == {"shaped": 2}


def test_masking(lc, captured, tree):
    """A mask and ``capture_content=False`` hold for attributes, events and errors before anything is kept."""

    def fail(_):
        dispatch_custom_event("progress", "a secret")
        raise ValueError("my secret")

    for handler in (
        LucidicHandler(mask=lambda text: text.replace("secret", "***")),
        LucidicHandler(capture_content=False),
    ):
        with pytest.raises(ValueError, match="secret"):
            (lc.chat("secret") | RunnableLambda(fail)).invoke("secret", {"callbacks": [handler]})
    for span in captured.spans:
        shown = [*span.attributes.values(), span.status.description]
        shown += [value for event in span.events for value in event.attributes.values()]
        assert "secret" not in " ".join(map(str, shown))


async def test_other_handlers_are_not_starved(lc, handler, config):
    """A handler that is not inline still hears of text models in asynchronous code, once."""
    heard = []

    class Other(BaseCallbackHandler):
        def on_llm_start(self, serialized, prompts, **kwargs):
            heard.extend(prompts)

    await lc.Text(responses=["a"]).agenerate(["one", "two"], callbacks=[handler, Other()])
    assert sorted(heard) == ["one", "two"]


def test_streams_are_the_same(lc, handler):
    """What a stream yields is the same with the handler and without."""
    with_it = [chunk.content for chunk in lc.chat("a b c").stream("x", {"callbacks": [handler]})]
    assert with_it == [chunk.content for chunk in lc.chat("a b c").stream("x")]


def test_sampled_out(lc, monkeypatch):
    """A trace that is sampled out costs no translation."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    from lucidic_adapters.langchain import _describe, _handler, _models

    def never(*args, **kwargs):
        raise AssertionError("translated")

    for module, name in (
        (_handler, "describe"),
        (_handler, "input_of"),
        (_models, "chat_request"),
        (_describe, "answer"),
    ):
        monkeypatch.setattr(module, name, never)
    handler = LucidicHandler(tracer_provider=TracerProvider(sampler=ALWAYS_OFF))
    (RunnableLambda(lambda x: x) | lc.chat()).invoke("x", {"callbacks": [handler]})


def test_no_choices(handler, tree):
    """An answer without any generation ends its span."""
    from uuid import uuid4

    run = uuid4()
    handler.on_chat_model_start({"name": "m"}, [[HumanMessage("x")]], run_id=run)
    handler.on_llm_end(LLMResult(generations=[]), run_id=run)
    run = uuid4()
    handler.on_chat_model_start(None, [["text", ("user", "x"), {"role": "user", "content": "x"}]], run_id=run)
    handler.on_llm_end(LLMResult(generations=[[ChatGeneration(message=AIMessage("a"))]]), run_id=run)
    assert [span.status.status_code for span in tree.spans] == [StatusCode.OK] * 2
