"""Each request repeats the messages before it: they are described once, and always as they are now."""

from __future__ import annotations

import dataclasses
import gc
import weakref

from pydantic_ai import Agent
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models.test import TestModel

from lucidic_adapters.pydantic_ai import _messages


def inputs(span):
    """Return the texts that a call was sent, in order."""
    found = dict(span.attributes)
    texts = []
    while (text := found.get(f"llm.input_messages.{len(texts)}.message.content")) is not None:
        texts.append(text)
    return texts


def calls(traced):
    return [span for span in traced.spans if span.name.startswith("chat")]


def test_each_message_is_translated_once(traced, monkeypatch):
    """Three turns of a conversation translate each of its messages once."""
    translated = []
    original = _messages.facts_of

    def counting(message, *, binary):
        translated.append(message)
        return original(message, binary=binary)

    monkeypatch.setattr(_messages, "facts_of", counting)
    agent = Agent(TestModel(custom_output_text="hi"), name="talker")
    history = []
    for turn in range(3):
        history = agent.run_sync(f"question {turn}", message_history=history).all_messages()
    assert inputs(calls(traced)[-1]) == ["question 0", "hi", "question 1", "hi", "question 2"]
    assert len(translated) == len({id(message) for message in translated}) == 5


def test_messages_that_move_and_change(traced):
    """Messages that a history is cut before, or that are replaced, are described as they are now."""
    history = [
        ModelRequest([UserPromptPart("one")]), ModelResponse([TextPart("two")]),
        ModelRequest([UserPromptPart("three")]), ModelResponse([TextPart("four")]),
    ]  # fmt: skip
    agent = Agent(TestModel(custom_output_text="hi"), name="talker", instructions="Be kind.")
    agent.run_sync("last", message_history=history)
    agent.run_sync("last", message_history=history[2:])
    history[3].parts = [TextPart("changed")]
    agent.run_sync("last", message_history=history[2:])
    history[2] = dataclasses.replace(history[2], parts=[UserPromptPart("replaced")])
    agent.run_sync("last", message_history=history)
    history[0].parts[0].content = "shortened"
    agent.run_sync("last", message_history=history)
    assert [inputs(span) for span in calls(traced)] == [
        ["Be kind.", "one", "two", "three", "four", "last"],
        ["Be kind.", "three", "four", "last"],
        ["Be kind.", "three", "changed", "last"],
        ["Be kind.", "one", "two", "replaced", "changed", "last"],
        ["Be kind.", "shortened", "two", "replaced", "changed", "last"],
    ]


def test_no_message_is_kept_alive(traced):
    """A message that the program drops is freed."""
    agent = Agent(TestModel(custom_output_text="hi"), name="talker")
    messages = agent.run_sync("hello").all_messages()
    watched = [weakref.ref(message) for message in messages]
    del messages
    gc.collect()
    assert [message() for message in watched] == [None, None]
