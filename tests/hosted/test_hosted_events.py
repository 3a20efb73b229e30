"""What a span becomes at the hosted API: the exact nesting, and nothing of it lost."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucidic._export._hosted_events import event_id, events_of, preview
from lucidic._export._hosted_http import compact
from lucidic._export._hosted_nest import nested
from lucidic._records import SpanEvent, SpanLink, StoredSpan
from lucidic._spans._facts import Message, Reasoning, Text, ToolCall, Usage
from lucidic._spans._openinference import llm_attributes
from lucidic.testing._hosted_server_contract import violations


TRACE, SPAN, PARENT = "0" * 31 + "1", "0" * 15 + "2", "0" * 15 + "3"


def make(kind=None, *, error="", events=(), attributes=None, name="a name", **more):
    return StoredSpan(
        trace_id=TRACE,
        span_id=SPAN,
        parent_span_id=more.pop("parent", PARENT),
        name=name,
        kind="INTERNAL",
        status="ERROR" if error else "OK",
        status_message=error,
        start_ns=1_700_000_000_123_456_789,
        end_ns=1_700_000_001_623_456_789,
        session_id="s",
        attributes={**({"openinference.span.kind": kind} if kind else {}), **(attributes or {})},
        events=tuple(events),
        scope_name="scope",
        scope_version="1",
        resource={"service.name": "shop"},
        **more,
    )


def raised(message="no stock", sort="ValueError"):
    said = {"exception.type": sort, "exception.message": message, "exception.stacktrace": "Traceback: here"}
    return SpanEvent(name="exception", time_ns=1_700_000_001_000_000_000, attributes=said)


def conforms(event):
    body = {**event, "session_id": "s", "current_time": "2026-01-01T00:00:00+00:00"}
    assert violations("events", json.loads(compact(body))) == []
    return event


def test_envelope():
    """The envelope has stable ids of span and parent, the span's start, its duration, tags and metadata."""
    (event,) = events_of(
        make("CHAIN", attributes={"tag.tags": ["x", "y"], "metadata": json.dumps({"thread_id": "t"})})
    )
    conforms(event)
    assert event["client_event_id"] == event_id(TRACE, SPAN) == "2dc68bcc-c655-5405-a316-a7bbd2a72697"
    assert event["client_parent_event_id"] == event_id(TRACE, PARENT)
    assert event["occurred_at"] == "2023-11-14T22:13:20.123456+00:00"
    assert event["duration"] == pytest.approx(1.5)
    assert event["tags"] == ["x", "y"]
    assert event["metadata"] == {"thread_id": "t"}


def test_root_has_no_parent():
    """A root span's event says that it has no parent."""
    (event,) = events_of(make("CHAIN", parent=None))
    assert conforms(event)["client_parent_event_id"] is None


def test_model_call():
    """A model call is llm_generation with request, response and usage filled, and the rest in misc."""
    attributes = llm_attributes(
        provider="openai",
        model="gpt-x",
        input_messages=[
            Message(role="system", content="Be brief."),
            Message(role="user", content="Weather?"),
        ],
        output_messages=[
            Message(
                role="assistant",
                content=[Reasoning(text="I think"), Text(text="Sunny")],
                tool_calls=[ToolCall(id="c1", name="weather", arguments='{"city": "Rome"}')],
            )
        ],
        invocation_parameters={"temperature": 0.2, "max_completion_tokens": 50, "seed": 7},
        usage=Usage(prompt=12, completion=3, cache_read=4),
    )
    (event,) = events_of(make("LLM", attributes=attributes))
    payload = conforms(event)["payload"]
    assert event["type"] == "llm_generation"
    assert payload["request"] == {
        "provider": "openai",
        "model": "gpt-x",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"}],
        "params": {"temperature": 0.2, "max_tokens": 50, "top_p": None},
    }
    assert payload["response"] == {
        "raw": None,
        "output": "Sunny",
        "tool_calls": [{"id": "c1", "name": "weather", "arguments": '{"city": "Rome"}'}],
        "thinking": ["I think"],
    }
    assert payload["usage"] == {"input_tokens": 12, "output_tokens": 3, "cache": "4", "cost": None}
    assert payload["status"] == "success"
    assert "error" not in payload
    assert json.loads(payload["misc"]["attributes"]["llm.invocation_parameters"])["seed"] == 7


def test_failed_model_call():
    """A failed model call has status and error, and the exception is an event of its own below it."""
    event, error = events_of(make("LLM", error="boom", events=[raised("boom", "openai.RateLimitError")]))
    conforms(event)
    conforms(error)
    assert event["payload"]["status"] == "error"
    assert event["payload"]["error"] == "RateLimitError: boom"
    assert error["type"] == "error_traceback"
    assert error["client_parent_event_id"] == event["client_event_id"]
    assert error["client_event_id"] != event["client_event_id"]
    assert error["payload"] == {
        "error": "boom",
        "traceback": "Traceback: here",
        "context": {"error_type": "openai.RateLimitError", "span": "a name"},
    }


def test_model_call_of_genai_conventions():
    """A model call that only another instrumentation's gen_ai attributes describe is filled the same way."""
    said = [{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}]
    answered = [{"role": "assistant", "parts": [{"type": "text", "content": "Hello"}]}]
    (event,) = events_of(
        make(
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "anthropic",
                "gen_ai.request.model": "claude",
                "gen_ai.request.temperature": 0.5,
                "gen_ai.usage.input_tokens": 5,
                "gen_ai.usage.output_tokens": 2,
                "gen_ai.input.messages": json.dumps(said),
                "gen_ai.output.messages": json.dumps(answered),
            }
        )
    )
    payload = conforms(event)["payload"]
    assert payload["request"]["messages"] == [{"role": "user", "content": "Hi"}]
    assert payload["request"]["provider"] == "anthropic"
    assert payload["request"]["params"]["temperature"] == 0.5
    assert payload["response"]["output"] == "Hello"
    assert payload["usage"]["input_tokens"] == 5


def test_tool_call():
    """A tool is function_call with arguments and result as what they are."""
    (event,) = events_of(
        make(
            "TOOL",
            attributes={
                "tool.name": "weather",
                "input.value": '{"city": "Rome"}',
                "input.mime_type": "application/json",
                "output.value": "Sunny",
                "output.mime_type": "text/plain",
                "custom": 1,
            },
        )
    )
    payload = conforms(event)["payload"]
    assert event["type"] == "function_call"
    assert payload["function_name"] == "weather"
    assert payload["arguments"] == {"city": "Rome"}
    assert payload["return_value"] == "Sunny"
    assert payload["error"] is None
    assert payload["misc"]["attributes"]["custom"] == 1


def test_failed_tool_call():
    """A tool that raised has the error as its result too, as the decorator of the 3.x client does."""
    event, error = events_of(
        make("TOOL", error="no stock", events=[raised()], attributes={"tool.name": "order"})
    )
    assert conforms(event)["payload"]["return_value"] == {"error": "no stock", "error_type": "ValueError"}
    assert event["payload"]["error"] == "no stock"
    assert conforms(error)["type"] == "error_traceback"


@pytest.mark.parametrize("kind", ["AGENT", "CHAIN", "RETRIEVER", "EMBEDDING", "RERANKER", "GUARDRAIL", None])
def test_every_other_kind(kind):
    """Every other kind is generic, with kind, name and all attributes."""
    (event,) = events_of(make(kind, attributes={"input.value": "q", "output.value": "a", "x": [1, 2]}))
    payload = conforms(event)["payload"]
    assert event["type"] == "generic"
    assert payload["kind"] == (kind or "UNKNOWN")
    assert payload["name"] == payload["details"] == "a name"
    assert payload["attributes"].items() >= {"input.value": "q", "output.value": "a", "x": [1, 2]}.items()


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=8, max_size=12)


@given(
    kind=st.sampled_from(["LLM", "TOOL", "AGENT", None]),
    values=st.dictionaries(
        st.sampled_from(
            [
                "input.value",
                "output.value",
                "llm.input_messages.0.message.content",
                "llm.input_messages.0.message.role",
                "llm.input_messages.10.message.content",
                "llm.input_messages.2.message.contents.0.message_content.text",
                "llm.input_messages.2.message.contents.0.message_content.image.image.url",
                "llm.input_messages.2.message.tool_calls.0.tool_call.function.arguments",
                "llm.input_messages.2.message.unheard_of",
                "llm.input_messages.2",
                "llm.input_messages.text",
                "llm.output_messages.0.message.content",
                "llm.output_messages.0.message.contents.1.message_content.data",
                "llm.output_messages.0.message.tool_calls.1.tool_call.id",
                "llm.output_messages.1.message.content",
                "llm.output_messages.1.message.finish",
                "llm.output_messages.0",
                "llm.tools.0.tool.json_schema",
                "gen_ai.prompt.0.content",
                "gen_ai.completion.0.content",
                "gen_ai.input.messages",
                "gen_ai.tool.call.arguments",
                "tool.name",
                "metadata",
                "user.id",
                "anything",
            ]
        ),
        _TEXTS,
    ),
    error=st.sampled_from(["", "status text"]),
)
def test_nothing_is_lost(kind, values, error):
    """Every text of a span, whatever its attributes are called, is somewhere in what is sent."""
    note = SpanEvent(name="a note", time_ns=1, attributes={"said": "note text"})
    link = SpanLink(trace_id="a" * 32, span_id="b" * 16, attributes={"why": "link text"})
    span = make(kind, attributes=values, error=error, events=[note, raised()], links=(link,))
    events = events_of(span)
    sent = list(_leaves(events))
    for text in (*values.values(), "a note", "note text", "link text", "a" * 32, "shop", "no stock", error):
        assert any(text in leaf for leaf in sent), text


def _leaves(value):
    if isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield str(value)


def test_nested_keeps_the_order_of_indices():
    """Ten messages are in the order of their numbers, not of their digits."""
    flat = {f"m.{number}.x": number for number in (10, 2, 0)}
    assert nested(flat, "m") == [{"x": 0}, {"x": 2}, {"x": 10}]


@pytest.mark.parametrize("kind", ["LLM", "TOOL", "CHAIN"])
def test_preview_is_short(kind):
    """The preview of a large payload is below 10 kB and conforms."""
    big = "x" * 100_000
    attributes = {
        "input.value": json.dumps({"q": big}),
        "input.mime_type": "application/json",
        **{f"llm.input_messages.{number}.message.content": big for number in range(20)},
        "llm.output_messages.0.message.content": big,
    }
    for event in events_of(make(kind, attributes=attributes, events=[raised(big)], error=big, name=big)):
        short = preview(event)
        assert len(compact(short)) < 10_000
        conforms({**event, "needs_blob": True, "payload": short})


def test_infinite_numbers_are_sent_as_text():
    """A number that JSON cannot hold does not break the request."""
    (event,) = events_of(make("CHAIN", attributes={"score": float("nan"), "list": [float("inf")]}))
    sent = json.loads(compact(event), parse_constant=pytest.fail)
    assert sent["payload"]["attributes"]["score"] == "nan"
    assert sent["payload"]["attributes"]["list"] == ["inf"]
