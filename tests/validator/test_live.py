"""Spans made with the adapter kit are conformant, down to the last hint."""

from __future__ import annotations

import pytest

import lucidic as lai
from lucidic import adapterkit
from lucidic.testing import assert_openinference, validate_openinference


def _turn(tracer, error=None):
    """Make the spans of one turn: an agent that calls a model, which calls a tool."""
    asked = [adapterkit.Message("user", "Where am I?")]
    call = adapterkit.ToolCall("c1", "locate", {"exact": True})
    answer = [adapterkit.Message("assistant", tool_calls=[call])]

    agent = tracer.start("guide", "AGENT")
    agent.set(adapterkit.agent_attributes("guide"))
    model = tracer.start("model", "LLM", parent=agent)
    model.set(
        adapterkit.llm_attributes(
            provider="openai",
            model="gpt-4o",
            input_messages=asked,
            output_messages=answer,
            tools=[adapterkit.ToolSchema("locate")],
            usage=adapterkit.Usage(12, 3),
        )
    )
    model.end(attributes=adapterkit.io_attributes(asked, answer))
    tool = tracer.start("locate", "TOOL", parent=agent)
    tool.set(adapterkit.tool_attributes("locate", arguments=call.arguments, id=call.id))
    tool.end(error=error, attributes=None if error else adapterkit.io_attributes(output="Zürich"))
    agent.end(attributes=adapterkit.io_attributes("Where am I?", "In Zürich."))


@pytest.mark.parametrize("error", [None, ValueError("lost")], ids=repr)
def test_a_turn_made_with_the_kit_is_conformant(captured, error):
    """A turn of agent, model and tool, also with a tool that fails, violates no rule at all."""
    with lai.session():
        _turn(adapterkit.make_tracer("tests", adapterkit.AdapterOptions()), error)

    assert 3 == len(captured.spans)
    assert_openinference(captured.spans, level="info")


def test_a_turn_without_a_session_is_reported(captured):
    """Without a session the spans are as good, and the validator says what is missing."""
    _turn(adapterkit.make_tracer("tests", adapterkit.AdapterOptions()))

    assert ["S0"] == [violation.rule for violation in validate_openinference(captured.spans)]
