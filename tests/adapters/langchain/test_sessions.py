"""Whose session a run is: every span of a trace agrees, from its start."""

from __future__ import annotations

import uuid

import pytest
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.runnables.history import RunnableWithMessageHistory
from langgraph.graph import START, StateGraph
from openinference.instrumentation import using_session
from opentelemetry import trace

import lucidic as lai
from lucidic.langchain import LucidicHandler
from lucidic.testing import session_id_of


def _sessions(captured):
    return {session_id_of(span) for span in captured.spans}


def _chain(lc):
    return RunnableLambda(lambda x: x, name="f") | lc.chat() | RunnableLambda(lambda _: lc.user("foreign"))


@pytest.mark.parametrize("key", ["session_id", "conversation_id", "thread_id"])
@pytest.mark.parametrize("place", ["metadata", "configurable"])
def test_every_key_and_place(lc, config, captured, key, place):
    """An id in metadata or configurable is on every span, foreign ones too, already at its start."""
    at_start = []
    captured.span_started = lambda span: at_start.append(session_id_of(span))
    _chain(lc).invoke("x", {**config, place: {key: "s-1"}})
    assert set(at_start) == {"s-1"}
    assert _sessions(captured) == {"s-1"}
    assert len(at_start) == len(captured.spans) >= 6


@pytest.mark.parametrize("key", ["session_id", "conversation_id", "thread_id"])
async def test_every_key_and_place_in_tasks(lc, config, captured, key):
    """The same in asynchronous code, streams included."""
    async for _ in _chain(lc).astream("x", {**config, "configurable": {key: "s-1"}}):
        pass
    assert _sessions(captured) == {"s-1"}


ALONE = {
    "model": (lambda lc: lc.chat(), "x"),
    "text model": (lambda lc: lc.Text(responses=["a"]), "x"),
    "retriever": (lambda lc: lc.Retriever(), "x"),
    "tool": (lambda lc: lc.Tool(), {"key": "k"}),
}


@pytest.mark.parametrize("what", ALONE)
def test_a_call_of_one_part_alone(lc, config, captured, what):
    """A model, retriever or tool that is called by itself has the session of its ``configurable`` too."""
    make, given = ALONE[what]
    part, config = make(lc), {**config, "configurable": {"thread_id": "t-1"}}
    part.invoke(given, config)
    list(part.stream(given, config=config))
    part.batch([given, given], config)
    assert _sessions(captured) == {"t-1"}
    captured.clear()
    part.invoke(given, {"callbacks": config["callbacks"]})
    assert _sessions(captured) == {None}


@pytest.mark.parametrize("what", ALONE)
async def test_a_call_of_one_part_alone_in_tasks(lc, config, captured, what):
    """The same in asynchronous code."""
    make, given = ALONE[what]
    part, config = make(lc), {**config, "configurable": {"thread_id": "t-1"}}
    await part.ainvoke(given, config)
    assert [_ async for _ in part.astream(given, config=config)]
    await part.abatch([given, given], config)
    assert _sessions(captured) == {"t-1"}


def test_graph(lc, config, captured):
    """A graph's ``thread_id`` is the session of every span of its turn."""
    graph = (
        StateGraph(dict).add_node("n", lambda _: {"out": lc.chat().invoke("x").content}).add_edge(START, "n")
    )
    graph.compile().invoke({"a": 1}, {**config, "configurable": {"thread_id": "t-1"}})
    assert _sessions(captured) == {"t-1"}
    assert len(captured.spans) >= 4


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning")
def test_message_history(lc, config, captured):
    """``RunnableWithMessageHistory`` names its session on the root and everything below."""
    prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("history"), ("human", "{q}")])
    store = InMemoryChatMessageHistory()
    chain = RunnableWithMessageHistory(
        prompt | lc.chat(), lambda _: store, input_messages_key="q", history_messages_key="history"
    )
    chain.invoke({"q": "hi"}, {**config, "configurable": {"session_id": "s-1"}})
    assert _sessions(captured) == {"s-1"}


def test_precedence(lc, config, captured):
    """session_id outranks conversation_id, which outranks thread_id; metadata outranks configurable."""
    for metadata, configurable, expected in (
        ({"thread_id": "t", "session_id": "s", "conversation_id": "c"}, {}, "s"),
        ({"thread_id": "t", "conversation_id": "c"}, {}, "c"),
        ({"thread_id": "t"}, {"session_id": "s"}, "t"),
        ({"session_id": ""}, {"thread_id": "t"}, "t"),
    ):
        captured.clear()
        _chain(lc).invoke("x", {**config, "metadata": metadata, "configurable": configurable})
        assert _sessions(captured) == {expected}


def test_own_keys(lc, captured):
    """``session_keys`` replaces the keys that name a session."""
    handler = LucidicHandler(session_keys=("chat",))
    _chain(lc).invoke(
        "x", {"callbacks": [handler], "metadata": {"session_id": "s"}, "configurable": {"chat": "c"}}
    )
    assert _sessions(captured) == {"c"}


def test_batch(lc, config, captured):
    """Each input of a batch can have a session of its own."""
    configs = [{**config, "configurable": {"thread_id": f"t-{number}"}} for number in range(3)]
    _chain(lc).batch(["a", "b", "c"], configs)
    by_trace = {}
    for span in captured.spans:
        by_trace.setdefault(span.context.trace_id, set()).add(session_id_of(span))
    assert sorted(by_trace.values(), key=str) == [{"t-0"}, {"t-1"}, {"t-2"}]


async def test_asynchronous_batch(lc, config, captured):
    """The same for ``abatch``."""
    configs = [{**config, "configurable": {"thread_id": f"t-{number}"}} for number in range(3)]
    await _chain(lc).abatch(["a", "b", "c"], configs)
    assert _sessions(captured) == {"t-0", "t-1", "t-2"}


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("together", [None, 2])
async def test_batch_of_a_text_model(lc, handler, captured, asynchronous, together):
    """The same for a text model, which makes one call of a batch, or one of each part of it."""
    named = [{"session_id": "s-a"}, {}, {"thread_id": "s-c"}]
    configs = [
        {"callbacks": [handler], "configurable": given, "max_concurrency": together} for given in named
    ]
    model = lc.Text(responses=["x"])
    if asynchronous:
        await model.abatch(["a", "b", "c"], configs)
    else:
        model.batch(["a", "b", "c"], configs)
    asked = {span.attributes["input.value"]: session_id_of(span) for span in captured.spans if lc.kind(span)}
    assert asked == {"a": "s-a", "b": None, "c": "s-c"}


async def test_batches_as_completed(lc, config, tree, captured):
    """The inputs of a batch that come as they are done have a session each, and their own code below them."""
    chain = RunnableLambda(lambda name: lc.user(f"in-{name}") or name, name="f") | RunnableLambda(str)
    configs = [
        {**config, "metadata": {"session_id": "s-1"}},
        {**config, "configurable": {"thread_id": "s-2"}},
    ]
    list(chain.batch_as_completed(["s-1", "s-2"], configs))
    assert [_ async for _ in chain.abatch_as_completed(["s-1", "s-2"], configs)]
    for name in ("s-1", "s-2"):
        assert [session_id_of(span) for span in captured.spans if span.name == f"in-{name}"] == [name] * 2
        if lc.contexts_for_tasks:
            assert tree.names_above(f"in-{name}") == ["f", "f"]
    assert _sessions(captured) == {"s-1", "s-2"}


@pytest.mark.parametrize("key", ["session_id", "thread_id"])
def test_parallel_and_fallbacks(lc, config, captured, key):
    """Parallel branches and batches of fallbacks as roots know ``configurable`` too."""
    parallel = RunnableParallel(a=lc.chat(), b=_chain(lc))
    parallel.invoke("x", {**config, "configurable": {key: "s-1"}})
    lc.chat().with_fallbacks([lc.chat()]).batch(["x"], {**config, "configurable": {key: "s-1"}})
    assert _sessions(captured) == {"s-1"}


def test_graphs_other_keys(lc, config, captured):
    """A graph's ``configurable`` may name the session by any key."""
    graph = StateGraph(dict).add_node("n", lambda _: {"a": 1}).add_edge(START, "n").compile()
    graph.invoke({"a": 1}, {**config, "configurable": {"session_id": "s-1", "thread_id": "t-1"}})
    assert _sessions(captured) == {"s-1"}
    captured.clear()
    graph.invoke({"a": 1}, {**config, "configurable": {"conversation_id": "c-1"}})
    assert _sessions(captured) == {"c-1"}


@pytest.mark.parametrize("given", [7, uuid.UUID(int=7)])
@pytest.mark.parametrize("place", ["metadata", "configurable"])
def test_ids_that_are_no_text(lc, config, captured, place, given):
    """Ints and UUIDs become text."""
    _chain(lc).invoke("x", {**config, place: {"thread_id": given}})
    assert _sessions(captured) == {str(given)}


def test_nothing_sticks(lc, config, captured):
    """A session is not visible after the call, nor on the next run of the same handler."""
    _chain(lc).invoke("x", {**config, "configurable": {"thread_id": "t-1"}})
    assert lai.current_session_id() is None
    lc.user("after")
    _chain(lc).invoke("x", config)
    after = [session_id_of(span) for span in captured.spans[-5:]]
    assert after == [None] * 5


@pytest.mark.parametrize("block", [using_session, lai.bind_session, lambda sid: lai.session(session_id=sid)])
def test_a_block_outranks_a_thread(lc, config, captured, block):
    """Inside a session block every span has the block's session; the thread's id is kept beside it."""
    with block("block"):
        _chain(lc).invoke("x", {**config, "metadata": {"thread_id": "t-1"}})
    assert _sessions(captured) == {"block"}
    (root,) = [span for span in captured.spans if span.parent is None]
    assert root.attributes["lucidic.framework_id.langchain.metadata.thread_id"] == "t-1"


def test_the_framework_first(lc, captured):
    """With ``session_from="framework"`` the thread outranks the block, for every span of the trace."""
    handler = LucidicHandler(session_from="framework")
    with lai.bind_session("block"):
        _chain(lc).invoke("x", {"callbacks": [handler], "metadata": {"thread_id": "t-1"}})
    assert _sessions(captured) == {"t-1"}


def test_the_handlers_own(lc, captured):
    """The id given to the handler outranks everything."""
    with lai.bind_session("block"):
        _chain(lc).invoke(
            "x", {"callbacks": [LucidicHandler(session_id="own")], "metadata": {"thread_id": "t-1"}}
        )
    assert _sessions(captured) == {"own"}


def test_a_block_inside_a_node_splits(lc, config, captured):
    """A block of another session inside a node starts a trace of its own, linked to the node."""

    def node(_):
        with lai.bind_session("inner"):
            lc.chat().invoke("x")

    RunnableLambda(node, name="node").invoke("x", {**config, "metadata": {"thread_id": "outer"}})
    by_name = {span.name: span for span in captured.spans}
    assert session_id_of(by_name["node"]) == "outer"
    assert session_id_of(by_name["Chat"]) == session_id_of(by_name["in-model"]) == "inner"
    assert by_name["Chat"].context.trace_id != by_name["node"].context.trace_id
    assert [link.context.span_id for link in by_name["Chat"].links] == [by_name["node"].context.span_id]


def test_an_inner_graph_with_its_own_thread(lc, config, captured):
    """An inner graph's own thread never splits the trace; it is kept as an attribute."""
    inner = (
        StateGraph(dict).add_node("deep", lambda _: {"a": 2}).add_edge(START, "deep").compile(name="inner")
    )

    def node(_):
        return inner.invoke({"a": 1}, {"configurable": {"thread_id": "child"}})

    outer = StateGraph(dict).add_node("n", node).add_edge(START, "n").compile()
    outer.invoke({"a": 0}, {**config, "configurable": {"thread_id": "root"}})
    assert _sessions(captured) == {"root"}
    (span,) = [span for span in captured.spans if span.name == "inner"]
    assert span.attributes["lucidic.framework_id.langchain.configurable.thread_id"] == "child"


async def test_a_stream_that_outlives_its_block(lc, config, captured):
    """A stream begun inside a block and consumed after it keeps the session it started with."""
    with lai.bind_session("s-1"):
        stream = _chain(lc).astream("x", config)
        await anext(stream)
    async for _ in stream:
        pass
    lc.user("after")
    assert {session_id_of(span) for span in captured.spans if span.name != "after"} == {"s-1"}
    assert session_id_of(captured.named("after")) is None


def test_one_session_through_init(lc, config, captured):
    """With one session open through ``init()`` a run without any id belongs to it."""
    session = lai.init(session_name="only")
    _chain(lc).invoke("x", config)
    assert _sessions(captured) == {session}


def test_suppressed(lc, config, captured):
    """Inside OpenTelemetry's suppression no span is made, and the call works."""
    from openinference.instrumentation import suppress_tracing

    with suppress_tracing():
        _chain(lc).invoke("x", config)
    assert captured.spans == []
    assert not trace.get_current_span().is_recording()
