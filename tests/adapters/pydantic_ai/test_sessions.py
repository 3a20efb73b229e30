"""Every span of a run is under the session that the precedence table names."""

from __future__ import annotations

import uuid

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from pydantic_ai import Agent, direct
from pydantic_ai.messages import ModelRequest, UserPromptPart
from pydantic_ai.models.test import TestModel

import lucidic as lai
from lucidic.pydantic_ai import LucidicInstrumentation
from lucidic.testing import assert_openinference


A = "conversation-of-ada-0001"
B = "conversation-of-bob-0002"
WEAK_FIELDS = ("L3", "L4", "S7")
"""TestModel is nobody's model, and its answer about tools is JSON."""


@pytest.fixture
def agent():
    """An agent with a tool in which user code makes a span of its own."""
    made = Agent(TestModel(), name="weather")

    @made.tool_plain
    def look(city: str) -> str:
        with trace.get_tracer("users-code").start_as_current_span("user span"):
            return "sunny"

    return made


def test_a_block_names_the_session_of_every_span(traced, sessions, agent):
    """Every span of a run inside a block is the block's, the user's own spans in tools too."""
    with lai.bind_session(A):
        agent.run_sync("hello")
    assert sessions() == {A}
    assert {span.name for span in traced.spans} == {
        "invoke_agent weather", "chat test", "execute_tool look", "user span",
    }  # fmt: skip
    ours = [span for span in traced.spans if span.name != "user span"]
    assert_openinference(ours, level="warning", ignore=WEAK_FIELDS)


async def test_every_way_of_running_is_under_the_block(traced, sessions, agent):
    """run, run_stream, iter and run_stream_events are all under the block."""
    with lai.bind_session(A):
        await agent.run("hello")
        async with agent.run_stream("hello") as stream:
            [text async for text in stream.stream_text()]
        async with agent.iter("hello") as run:
            [node async for node in run]
        events = agent.run_stream_events("hello")
        if hasattr(events, "__aenter__"):
            async with events as stream:
                [event async for event in stream]
        else:
            [event async for event in events]
    assert sessions() == {A}
    assert sum(span.name == "invoke_agent weather" for span in traced.spans) == 4


def test_two_turns_without_history_are_one_session(traced, sessions, agent):
    """Turns in one block are one session, whatever ids PydanticAI makes up for them."""
    with lai.bind_session(A):
        agent.run_sync("one")
        agent.run_sync("two")
    assert sessions() == {A}
    assert len({span.context.trace_id for span in traced.spans}) == 2


def test_history_of_another_session_does_not_move_a_run(traced, sessions, agent):
    """The block outranks the conversation that the messages came from."""
    with lai.bind_session(A):
        history = agent.run_sync("one").all_messages()
    traced.clear()
    with lai.bind_session(B):
        agent.run_sync("two", message_history=history)
    assert sessions() == {B}


@pytest.mark.usefixtures("run_with_conversation")
def test_an_explicit_conversation_names_the_session(traced, sessions, agent):
    """conversation_id= names the session of every span, user spans too."""
    agent.run_sync("hello", conversation_id=A)
    assert sessions() == {A}
    assert traced.named("invoke_agent weather").attributes["lucidic.session.source"] == (
        "pydantic_ai.conversation_id"
    )


def test_a_conversation_object_names_the_session(traced, sessions, agent):
    """A Conversation handed over names the session."""
    pytest.importorskip("pydantic_ai.conversation", reason="Conversation came with pydantic-ai 2.61")
    from pydantic_ai.conversation import Conversation

    agent.run_sync("hello", conversation=Conversation(conversation_id=A))
    assert sessions() == {A}


@pytest.mark.usefixtures("run_with_conversation")
def test_new_is_no_id(traced, sessions, agent):
    """conversation_id="new" never becomes a session: the block holds, or there is none."""
    agent.run_sync("hello", conversation_id="new")
    assert sessions() == {None}
    traced.clear()
    with lai.bind_session(A):
        agent.run_sync("hello", conversation_id="new")
    assert sessions() == {A}


@pytest.mark.parametrize("key", ["session_id", "conversation_id", "thread_id"])
def test_metadata_of_the_run_names_the_session(traced, sessions, agent, key):
    """The three metadata keys of a run name its session."""
    agent.run_sync("hello", metadata={key: A})
    assert sessions() == {A}


@pytest.mark.parametrize("metadata", [{"thread_id": A}, lambda ctx: {"thread_id": f"{ctx.deps}"}])
def test_metadata_of_the_agent_names_the_session(traced, sessions, metadata):
    """An agent's metadata names the session, a mapping or a function of the run."""
    Agent(TestModel(), metadata=metadata, deps_type=str).run_sync("hello", deps=A)
    assert sessions() == {A}


def test_a_function_as_metadata_of_the_run_names_the_session(traced, sessions, agent):
    """A run's metadata function is asked before its spans start."""
    agent.run_sync("hello", metadata=lambda ctx: {"session_id": A, "asked": ctx.prompt})
    assert sessions() == {A}


PLACES = ("conversation_id", "run metadata", "agent metadata", "history")


@pytest.mark.usefixtures("run_with_conversation")
@pytest.mark.parametrize("first", range(len(PLACES)))
@pytest.mark.parametrize("block", [None, "the-block-session-000"])
def test_precedence(traced, sessions, first, block):
    """Block, then explicit id, run metadata, agent metadata, history: the first that is there."""
    given = {place: f"id-from-{place.replace(' ', '-')}" for place in PLACES[first:]}
    history = None
    if "history" in given:
        history = Agent(TestModel()).run_sync("before", conversation_id=given["history"]).all_messages()
        traced.clear()
    agent = Agent(TestModel(), metadata=_thread(given.get("agent metadata")))
    options = {"conversation_id": given["conversation_id"]} if "conversation_id" in given else {}
    options |= {"metadata": _thread(given.get("run metadata")), "message_history": history}
    if block is None:
        agent.run_sync("now", **options)
        assert sessions() == {given[PLACES[first]]}
    else:
        with lai.bind_session(block):
            agent.run_sync("now", **options)
        assert sessions() == {block}


def _thread(value):
    return None if value is None else {"thread_id": value}


@pytest.mark.usefixtures("run_with_conversation")
def test_the_framework_can_outrank_the_block(captured, sessions):
    """session_from="framework" turns block and framework's id round."""
    with lai.instrument("pydantic_ai", session_from="framework"), lai.bind_session(A):
        Agent(TestModel()).run_sync("hello", conversation_id=B)
    assert sessions() == {B}


@pytest.mark.usefixtures("run_with_conversation")
@pytest.mark.parametrize(
    ("given", "expected"),
    [("", None), (7, "7"), ("käse-会話-0001", "käse-会話-0001"), ("x" * 10_000, "x" * 10_000)],
)
def test_odd_ids(traced, sessions, agent, given, expected):
    """Empty ids are none, ints become text, long and foreign ones stay as they are."""
    agent.run_sync("hello", conversation_id=given)
    assert sessions() == {expected}


def test_an_inner_agent_is_in_the_outer_session(traced, sessions, script, call):
    """A delegate called in a tool has the outer session and hangs below the tool."""
    inner = Agent(TestModel(custom_output_text="inner"), name="inner")
    outer = Agent(script([call("delegate")], "done"), name="outer")

    @outer.tool_plain
    async def delegate() -> str:
        return (await inner.run("question")).output

    outer.run_sync("hello", metadata={"session_id": A})
    assert sessions() == {A}
    assert len({span.context.trace_id for span in traced.spans}) == 1
    assert traced.named("invoke_agent inner").parent.span_id == (
        traced.named("execute_tool delegate").context.span_id
    )


@pytest.mark.usefixtures("run_with_conversation")
def test_an_inner_explicit_id_never_splits_a_trace(traced, sessions, script, call):
    """An inner run's own id is kept as an attribute; the trace keeps its one session."""
    inner = Agent(TestModel(custom_output_text="inner"), name="inner")
    outer = Agent(script([call("delegate")], "done"), name="outer")

    @outer.tool_plain
    async def delegate() -> str:
        return (await inner.run("question", conversation_id=B)).output

    outer.run_sync("hello", conversation_id=A)
    assert sessions() == {A}
    inner_id = traced.named("invoke_agent inner").attributes[
        "lucidic.framework_id.pydantic_ai.conversation_id"
    ]
    assert inner_id == B


def test_sessions_under_one_job(captured):
    """A job's span that was open before the first span of ours holds one session, and the others are linked."""
    provider = TracerProvider(shutdown_on_exit=False)
    agent = Agent(TestModel(custom_output_text="hi"), name="worker")
    with lai.instrument("pydantic_ai", tracer_provider=provider):
        with provider.get_tracer("jobs").start_as_current_span("job"):
            for session in (A, B):
                with lai.bind_session(session):
                    agent.run_sync("hello")
    job = captured.named("job").context
    first, second = (span for span in captured.spans if span.name == "invoke_agent worker")
    assert (first.context.trace_id, first.attributes["session.id"]) == (job.trace_id, A)
    assert second.context.trace_id != job.trace_id
    assert second.attributes["session.id"] == B
    assert [link.context.span_id for link in second.links] == [job.span_id]


def test_an_inner_block_is_a_linked_trace_of_its_own(traced, script, call):
    """A block of another session inside a tool starts a trace of its own, linked to the tool."""
    inner = Agent(TestModel(custom_output_text="inner"), name="inner")
    outer = Agent(script([call("delegate")], "done"), name="outer")

    @outer.tool_plain
    async def delegate() -> str:
        with lai.bind_session(B):
            return (await inner.run("question")).output

    with lai.bind_session(A):
        outer.run_sync("hello")
    inner_span, tool_span = traced.named("invoke_agent inner"), traced.named("execute_tool delegate")
    assert inner_span.attributes["session.id"] == B
    assert tool_span.attributes["session.id"] == A
    assert inner_span.context.trace_id != tool_span.context.trace_id
    assert [link.context.span_id for link in inner_span.links] == [tool_span.context.span_id]


async def test_a_direct_request_is_in_the_session(traced, sessions):
    """A model request without an agent is under the block."""
    with lai.bind_session(A):
        await direct.model_request(TestModel(), [ModelRequest(parts=[UserPromptPart("hello")])])
    assert sessions() == {A}
    assert traced.spans[0].attributes["input.value"] == "hello"


def test_pydantic_ais_own_id_is_never_a_session(traced, sessions, agent):
    """Without anything that names a session the spans have none, in later turns neither."""
    first = agent.run_sync("one")
    agent.run_sync("two", message_history=first.all_messages())
    assert sessions() == {None}


@pytest.mark.usefixtures("run_with_conversation")
def test_history_of_a_named_conversation_names_the_session(traced, sessions, agent):
    """The messages of a named conversation carry its id on into the next run."""
    history = agent.run_sync("one", conversation_id=A).all_messages()
    traced.clear()
    agent.run_sync("two", message_history=history)
    assert sessions() == {A}


@pytest.mark.usefixtures("run_with_conversation")
def test_stored_messages_carry_the_bound_session(traced, sessions, agent):
    """Messages of a run in a block carry the session, so that another process can go on with them."""
    from pydantic_ai.messages import ModelMessagesTypeAdapter

    with lai.bind_session(A):
        result = agent.run_sync("one")
    stored = ModelMessagesTypeAdapter.validate_json(result.all_messages_json())
    traced.clear()
    agent.run_sync("two", message_history=stored)
    assert sessions() == {A}


@pytest.mark.usefixtures("run_with_conversation")
def test_without_a_session_pydantic_ai_makes_its_ids_as_ever(traced, agent):
    """Nothing is handed to PydanticAI where no session is bound."""
    first, second = agent.run_sync("one"), agent.run_sync("two")
    assert uuid.UUID(first.conversation_id).version == 7
    assert first.conversation_id != second.conversation_id


def test_the_instrumentations_own_session_outranks_all(captured, sessions):
    """A session given to the instrumentation itself holds everywhere."""
    with lai.instrument("pydantic_ai", session_id=B), lai.bind_session(A):
        Agent(TestModel()).run_sync("hello", metadata={"session_id": A})
    assert sessions() == {B}


def test_other_metadata_keys_on_request(captured, sessions):
    """session_keys names the metadata keys that count."""
    with lai.instrument("pydantic_ai", session_keys=("ticket",)):
        Agent(TestModel()).run_sync("hello", metadata={"ticket": A, "session_id": B})
    assert sessions() == {A}


def test_one_agent_alone(captured, sessions, instrumented_by):
    """LucidicInstrumentation traces the agent it is given to, and no other."""
    ours = LucidicInstrumentation()
    agent = Agent(TestModel(), name="traced", **instrumented_by(ours))
    Agent(TestModel(), name="untraced").run_sync("hello")
    assert captured.spans == []
    with lai.bind_session(A):
        agent.run_sync("hello", metadata={"thread_id": B})
    assert sessions() == {A}
    assert [span.name for span in captured.spans] == ["chat test", "invoke_agent traced"]


def test_the_session_before_is_back_after_a_run(traced, agent):
    """After a run, also a failed one, the session is what it was."""
    with lai.bind_session(A):
        agent.run_sync("hello", metadata={"session_id": B})
        assert lai.current_session_id() == A
        with pytest.raises(RuntimeError):
            Agent(TestModel(), system_prompt=()).run_sync("hello", deps=None, model=_Broken())
        assert lai.current_session_id() == A
    assert lai.current_session_id() is None
    assert trace.get_current_span() is trace.INVALID_SPAN


class _Broken(TestModel):
    async def request(self, *args, **kwargs):
        raise RuntimeError("no answer")
