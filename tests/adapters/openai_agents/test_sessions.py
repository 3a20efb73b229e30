"""Whose session a run is: the ids that are given to the SDK, and the order among them."""

from __future__ import annotations

import asyncio
import uuid

import agents
import pytest
from agents import RunConfig, Runner, SQLiteSession, function_tool, trace

import lucidic as lai
from lucidic.openai_agents import LucidicTracingProcessor, instrument
from lucidic.testing import Reply, ToolCall


KEYS = ("lucidic.session_id", "session.id", "gen_ai.conversation.id")


def sessions(captured):
    """Return the set of sessions over all keys of all spans; ``None`` for a missing one."""
    return {(span.attributes or {}).get(key) for span in captured.spans for key in KEYS}


def sources(captured):
    return {(span.attributes or {}).get("lucidic.session.source") for span in captured.spans}


async def run(agent, *, streamed=False, **options):
    if not streamed:
        return await Runner.run(agent, "Hi", **options)
    result = Runner.run_streamed(agent, "Hi", **options)
    async for _ in result.stream_events():
        pass
    return result


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("config", [RunConfig(group_id="g-1"), {"group_id": "g-1"}])
async def test_a_group_names_the_session(traced, scripted, streamed, config):
    """``RunConfig.group_id``, also of a plain mapping, is on every span, at its start."""
    await run(scripted().agent(), streamed=streamed, run_config=config)
    assert {"g-1"} == sessions(traced)
    assert "openai_agents.group_id" in sources(traced)
    assert len(traced.started) == len(traced.spans) >= 5


async def test_a_group_names_the_session_of_the_processor_alone(bare, scripted):
    """Without ``instrument()`` a group and metadata count as well."""
    await run(scripted().agent(), run_config=RunConfig(group_id="g-1"))
    assert {"g-1"} == sessions(bare)


async def test_a_workflow_of_two_runs_has_one_session(traced, scripted):
    """``trace(group_id=…)`` holds for both runs inside, which share one trace."""
    agent = scripted().agent()
    with trace("two runs", group_id="g-2"):
        await run(agent)
        await run(agent)
    assert {"g-2"} == sessions(traced)
    assert 1 == len({span.context.trace_id for span in traced.spans})


@pytest.mark.parametrize("key", ["session_id", "conversation_id", "thread_id"])
async def test_metadata_names_the_session(traced, scripted, key):
    """The three keys of a trace's metadata are read."""
    await run(scripted().agent(), run_config=RunConfig(trace_metadata={key: "m-1", "plan": "free"}))
    assert {"m-1"} == sessions(traced)


async def test_the_metadata_keys_can_be_chosen(captured, scripted):
    """``session_keys`` replaces the keys that are looked for."""
    undo = instrument(session_keys=("chat",))
    await run(scripted().agent(), run_config=RunConfig(trace_metadata={"chat": "c-1", "thread_id": "t-1"}))
    undo()
    assert {"c-1"} == sessions(captured)


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_sdk_session_names_the_session(traced, scripted, streamed, sqlite):
    """The id of a ``SQLiteSession`` is on every span of a run."""
    await run(scripted().agent(), streamed=streamed, session=sqlite("sql-1"))
    assert {"sql-1"} == sessions(traced)
    assert "openai_agents.session_id" in sources(traced)


async def test_an_sdk_session_names_the_session_of_the_processor_alone(bare, scripted, sqlite):
    """The processor finds a session and a conversation where the SDK starts its trace."""
    await run(scripted().agent(), session=sqlite("sql-1"))
    assert {"sql-1"} == sessions(bare)


@pytest.mark.parametrize("chat", [False, True])
async def test_a_conversation_names_the_session(traced, scripted, chat):
    """``conversation_id`` counts, with either API."""
    await run(scripted().agent(chat=chat), conversation_id="conv_1")
    assert {"conv_1"} == sessions(traced)


class LateSession(SQLiteSession):
    """A session that, like ``OpenAIConversationsSession``, has its id with its first request."""

    made = False

    @property
    def session_id(self):
        if not self.made:
            raise ValueError("no conversation yet")
        return "late-1"

    @session_id.setter
    def session_id(self, value):
        """Ignore the base class's own."""

    async def get_items(self, limit=None):
        self.made = True
        return []

    async def add_items(self, items):
        self.made = True


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_id_that_comes_late_reaches_every_span(traced, scripted, streamed, sqlite):
    """A conversation that is made by its first request is on the spans that were open before it, too."""
    await run(scripted().agent(), streamed=streamed, session=sqlite("x", LateSession))
    assert {"late-1"} == sessions(traced)


class FailingSession(LateSession):
    """A session whose first request fails."""

    async def get_items(self, limit=None):
        raise ConnectionError("no conversation today")


@pytest.mark.parametrize("config", [{"group_id": "g-1"}, {"trace_metadata": {"session_id": "m-1"}}])
@pytest.mark.parametrize("streamed", [False, True])
async def test_weaker_ids_wait_for_one_that_comes_late(either, scripted, streamed, config, sqlite):
    """The first turn of a conversation is in the session that the later ones are in, whatever else is given."""
    session, config = sqlite("x", LateSession), RunConfig(**config)
    for _turn in range(2):
        await run(scripted().agent(), streamed=streamed, session=session, run_config=config)
    assert {"late-1"} == sessions(either)


async def test_weaker_ids_count_where_none_comes(traced, scripted, sqlite):
    """A conversation that cannot be made leaves its failed run in the group."""
    with pytest.raises(ConnectionError):
        await run(
            scripted().agent(),
            streamed=True,
            session=sqlite("x", FailingSession),
            run_config=RunConfig(group_id="g-1"),
        )
    assert {"Agent workflow", "run Agent workflow"} == {span.name for span in traced.spans}
    assert {"g-1"} == sessions(traced)


ORDER = [
    ({"conversation_id": "conv"}, "conv"),
    ({"session": "sql"}, "sql"),
    ({"group_id": "group"}, "group"),
    ({"trace_metadata": {"session_id": "meta"}}, "meta"),
]


PAIRS = [(0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
"""All but the first two together: the SDK refuses a conversation beside a session."""


@pytest.mark.parametrize(("stronger", "weaker"), PAIRS)
async def test_the_stronger_id_wins(traced, scripted, stronger, weaker, sqlite):
    """Conversation, session, group, metadata: the SDK's own order, for every pair."""
    given = {**ORDER[stronger][0], **ORDER[weaker][0]}
    if "session" in given:
        given["session"] = sqlite(given["session"])
    config = RunConfig(**{name: given.pop(name) for name in ("group_id", "trace_metadata") if name in given})
    await run(scripted().agent(), run_config=config, **given)
    assert {ORDER[stronger][1]} == sessions(traced)
    root = next(span for span in traced.spans if span.parent is None)
    assert ORDER[weaker][1] in root.attributes.values()


async def test_an_explicit_block_outranks_the_sdk(traced, scripted, sqlite):
    """A bound session counts, and the SDK's ids are kept beside it."""
    with lai.bind_session("block-1"):
        await run(scripted().agent(), session=sqlite("sql"), run_config=RunConfig(group_id="g"))
    assert {"block-1"} == sessions(traced)
    root = traced.named("Agent workflow")
    assert ("sql", "g") == (
        root.attributes["openai_agents.session_id"],
        root.attributes["openai_agents.group_id"],
    )


async def test_the_sdk_outranks_a_block_where_it_was_asked_to(captured, scripted):
    """``session_from="framework"`` turns the two round."""
    undo = instrument(session_from="framework")
    with lai.bind_session("block-1"):
        await run(scripted().agent(), run_config=RunConfig(group_id="g"))
    undo()
    assert {"g"} == sessions(captured)


async def test_the_processors_own_id_outranks_everything(captured, scripted):
    """``LucidicTracingProcessor(session_id=…)`` is the session of everything it sees."""
    agents.add_trace_processor(LucidicTracingProcessor(session_id="mine"))
    with lai.bind_session("block-1"):
        await run(scripted().agent(), run_config=RunConfig(group_id="g"))
    assert {"mine"} == sessions(captured)


async def test_nothing_is_made_up(traced, scripted):
    """Without any id the spans are there, and have no session."""
    await run(scripted().agent())
    assert {None} == sessions(traced)
    assert traced.spans


class BrokenSession(SQLiteSession):
    @property
    def session_id(self):
        raise RuntimeError("broken")

    @session_id.setter
    def session_id(self, value):
        """Ignore the base class's own."""

    async def get_items(self, limit=None):
        return []

    async def add_items(self, items):
        """Keep nothing."""


@pytest.mark.parametrize("given", ["", "   ", None])
async def test_ids_that_are_none_are_passed_over(traced, scripted, given, sqlite):
    """Blank groups and sessions that raise are no ids; the next one counts."""
    config = RunConfig(group_id=given, trace_metadata={"session_id": 7, "thread_id": True})
    await run(scripted().agent(), session=sqlite("x", BrokenSession), run_config=config)
    assert {"7"} == sessions(traced)


async def test_three_turns_are_three_traces_of_one_session(traced, scripted, sqlite):
    """Each run of one ``SQLiteSession`` is a trace, all of the same session."""
    session, agent = sqlite(str(uuid.uuid4())), scripted().agent()
    for _ in range(3):
        await run(agent, session=session)
    assert 3 == len({span.context.trace_id for span in traced.spans})
    assert {session.session_id} == sessions(traced)


async def test_an_inner_run_stays_in_the_outer_session(traced, scripted, sqlite):
    """An agent as a tool with a session and group of its own: the trace keeps one session, theirs are kept."""
    made = scripted([Reply(tool_calls=(ToolCall("ask", {"input": "How?"}),)), "So.", "Done."])
    inner = made.agent("Inner").as_tool(
        "ask",
        "Ask.",
        session=sqlite("in"),
        run_config=RunConfig(group_id="in-g", workflow_name="inner"),
    )
    await run(made.agent("Outer", tools=[inner]), session=sqlite("out"))
    assert {"out"} == sessions(traced)
    task = traced.named("run inner").attributes
    assert ("in", "in-g") == (task["openai_agents.session_id"], task["openai_agents.group_id"])
    assert "in" == task["lucidic.framework_id.openai_agents.session_id"]


async def test_a_group_that_the_sdk_drops_is_kept_as_an_attribute(traced, scripted):
    """Inside ``trace(group_id=…)`` the SDK ignores a run's own group; it is on the run's span."""
    with trace("outer", group_id="OUT"):
        await run(scripted().agent(), run_config=RunConfig(group_id="IN"))
    assert {"OUT"} == sessions(traced)
    assert "IN" == traced.named("run Agent workflow").attributes["openai_agents.group_id"]


async def test_a_second_block_inside_a_workflow_is_a_linked_trace(traced, scripted):
    """One trace, one session: the first block's is the workflow's, the second block splits off, linked."""
    agent = scripted().agent()
    with trace("both"):
        with lai.bind_session("A"):
            await run(agent)
        with lai.bind_session("B"):
            await run(agent)
    by_trace = {}
    for span in traced.spans:
        by_trace.setdefault(span.context.trace_id, set()).add(span.attributes["session.id"])
    root = traced.named("both")
    assert {"A"} == by_trace.pop(root.context.trace_id)
    assert [{"B"}] == list(by_trace.values())
    second = next(s for s in traced.spans if s.parent is None and s is not root)
    assert [root.context.span_id] == [link.context.span_id for link in second.links]


async def test_a_streamed_run_is_in_the_block_of_the_generator_that_begins_it(traced, scripted):
    """Its task inherits no other generator's block, and not none, where the generator has yielded before."""
    agent = scripted().agent()

    async def conversation(session_id):
        with lai.using_attributes(session_id=session_id, user_id=session_id):
            yield
            async for _ in Runner.run_streamed(agent, session_id).stream_events():
                pass

    one, other, stepped = map(conversation, ("g-1", "g-2", "g-3"))
    for step in (one, other, one, other):
        await anext(step, None)
    for _ in range(2):
        await asyncio.create_task(anext(stepped, None))

    roots = [span.attributes for span in traced.spans if span.parent is None]
    assert [(name,) * 2 for name in ("g-1", "g-2", "g-3")] == [
        (root["input.value"], root["session.id"]) for root in roots
    ]
    assert all(span.attributes["user.id"] == span.attributes["session.id"] for span in traced.spans)


async def test_a_run_inside_a_tool_nests_and_keeps_the_session(traced, scripted):
    """``Runner.run`` inside a tool is part of the outer trace."""
    made = scripted([Reply(tool_calls=(ToolCall("deeper"),)), "Below.", "Above."])

    @function_tool
    async def deeper() -> str:
        return (await Runner.run(made.agent("Inner"), "Go on", conversation_id="conv_in")).final_output

    await run(made.agent("Outer", tools=[deeper]), run_config=RunConfig(group_id="g"))
    assert {"g"} == sessions(traced)
    tool, inner = traced.named("deeper"), traced.named("Inner")
    runs = [
        s for s in traced.spans if s.name == "run Agent workflow" and s.parent.span_id == tool.context.span_id
    ]
    assert [inner.parent.span_id] == [s.context.span_id for s in runs]


async def test_a_previous_response_is_kept(traced, scripted):
    """``previous_response_id`` is an attribute of the run."""
    await run(scripted().agent(), previous_response_id="resp_0")
    assert "resp_0" == traced.named("run Agent workflow").attributes["openai_agents.previous_response_id"]
