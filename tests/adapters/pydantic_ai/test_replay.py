"""Durable engines run an agent again from its start: what was recorded is not recorded again."""

from __future__ import annotations

import pytest
from pydantic_ai import Agent

import lucidic as lai
from lucidic import _runtime
from lucidic.pydantic_ai import LucidicInstrumentation


durable = pytest.importorskip(
    "pydantic_ai._durable_replay", reason="PydanticAI tells replays from runs since 2.67"
)
A = "conversation-of-ada-0001"


@pytest.fixture
def agent(script, call):
    made = Agent(script([call("look")], "done"), name="durable")

    @made.tool_plain
    def look() -> str:
        return "seen"

    return made


async def test_a_replay_leaves_nothing(traced, agent):
    """A replayed run exports no span, announces none, and leaves none for anybody to end."""
    with durable.replay_scope(is_replaying=lambda: True), lai.bind_session(A):
        await agent.run("hello")
    assert traced.spans == []
    assert traced.started == []
    assert _runtime.runtime().processor.open_spans() == []


async def test_a_durable_run_that_is_no_replay(traced, sessions, agent):
    """The first execution of a durable run is traced like any other."""
    with durable.replay_scope(is_replaying=lambda: False), lai.bind_session(A):
        await agent.run("hello")
    assert sessions() == {A}
    assert {span.name for span in traced.spans} == {
        "invoke_agent durable",
        "chat scripted",
        "execute_tool look",
    }
    by_id = {span.context.span_id: span.name for span in traced.spans}
    parents = {span.name: by_id.get(span.parent.span_id) if span.parent else None for span in traced.spans}
    assert parents == {
        "invoke_agent durable": None,
        "chat scripted": "invoke_agent durable",
        "execute_tool look": "invoke_agent durable",
    }


async def test_our_capability_for_one_run(captured, sessions, agent):
    """Given to a single run, ours is no different from PydanticAI's own instrumentation."""
    with durable.replay_scope(is_replaying=lambda: False):
        await agent.run("hello", capabilities=[LucidicInstrumentation()], conversation_id=A)
    assert sessions() == {A}
    assert LucidicInstrumentation._safe_at_runtime is True
