"""What spans say in OpenInference attributes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lucidic._view._content import Failure, Message, ToolCall, failure, kind, messages, model, tokens
from lucidic._view._speech import answer_words, user_words


def test_messages_are_unflattened_in_the_order_of_their_indices(spans):
    """Ten messages and more keep their order, with content parts and tool calls."""
    attributes = {f"llm.input_messages.{index}.message.content": f"m{index}" for index in (10, 2, 0)}
    attributes |= {f"llm.input_messages.{index}.message.role": "user" for index in (10, 2, 0)}
    attributes |= {
        "llm.input_messages.2.message.contents.0.message_content.type": "image",
        "llm.input_messages.11.message.role": "assistant",
        "llm.input_messages.11.message.contents.0.message_content.type": "reasoning",
        "llm.input_messages.11.message.contents.0.message_content.text": "hm",
        "llm.input_messages.11.message.contents.1.message_content.text": "yes",
        "llm.input_messages.11.message.tool_calls.0.tool_call.function.name": "look",
        "llm.input_messages.11.message.tool_calls.0.tool_call.function.arguments": "{}",
        "llm.input_messages.11.message.tool_calls.0.tool_call.id": "c-1",
    }
    span = spans.add("m", "LLM", 0, 1, attributes=attributes)
    *texts, last = messages(span, "llm.input_messages")
    assert [message.text for message in texts] == ["m0", "m2", "m10"]
    assert last == Message("assistant", "yes", (ToolCall("look", "{}", "c-1"),), reasoning="hm")


def test_contradicting_keys_do_no_harm(spans):
    """A key that is both a value and a prefix keeps one of both."""
    attributes = {"llm.output_messages.0.message": "odd", "llm.output_messages.0.message.role": "user"}
    span = spans.add("m", "LLM", 0, 1, attributes=attributes)
    assert len(messages(span, "llm.output_messages")) <= 1


def test_genai_attributes_are_the_second_choice(spans):
    """A span of another instrumentation has kind, model and tokens too."""
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m-1",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
    }
    span = spans.add("chat m-1", None, 0, 1, attributes=attributes)
    assert (kind(span), model(span), tokens(span).total) == ("LLM", "m-1", 10)


def test_only_model_calls_count_tokens(spans):
    """An agent that repeats the sum of its calls does not double it."""
    span = spans.add(
        "a", "AGENT", 0, 1, attributes={"llm.token_count.total": 5, "llm.token_count.prompt": True}
    )
    assert tokens(span).total == 0


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("plain words", "plain words"),
        ({"messages": [{"role": "user", "content": "a"}, {"type": "human", "content": "b"}]}, "b"),
        ({"messages": [["user", "pair"]]}, "pair"),
        (
            {"messages": [{"kwargs": {"type": "human", "content": [{"type": "text", "text": "deep"}]}}]},
            "deep",
        ),
        ({"question": "why?"}, "why?"),
        ([{"role": "assistant", "content": "no user"}], '[{"role": "assistant", "content": "no user"}]'),
        ({"x": 1}, '{"x": 1}'),
        ("{not json", "{not json"),
    ],
)
def test_the_users_words_are_found_in_a_recorded_state(spans, value, said):
    """A root whose input is a dump of the state still shows what the user said, or else the dump."""
    given = value if isinstance(value, str) else json.dumps(value)
    assert user_words(spans.add("root", "CHAIN", 0, 1, has_input=given)) == said


def test_the_answers_words_are_found_in_a_recorded_state(spans):
    """The last message of the assistant is the answer."""
    state = {"messages": [{"type": "human", "content": "q"}, {"type": "ai", "content": "a"}]}
    assert answer_words(spans.add("root", "CHAIN", 0, 1, output=json.dumps(state))) == "a"


def test_a_failure_comes_from_the_exception_or_the_status(spans):
    """Without an exception event the status says why; a type is not named twice."""
    raised = spans.add("t", "TOOL", 0, 1, error=("a.b.BookingError", "full"))
    assert failure(raised).headline == "BookingError: full"
    assert failure(replace(raised, events=())) == Failure("", "full")
    assert failure(replace(raised, status="OK")) is None
    assert Failure("ValueError", "ValueError('x')").headline == "ValueError('x')"
    assert Failure("", "").headline == "failed"
