"""Streams that are left before their end: what the turn shows is what its consumer was given."""

from __future__ import annotations

import asyncio
import gc
import inspect
import weakref
from collections.abc import AsyncGenerator, Generator

import pytest
from langchain.agents import create_agent
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.runnables import RunnableBranch, RunnableGenerator, RunnableLambda, RunnableParallel
from langgraph.graph import START, MessagesState, StateGraph
from opentelemetry.trace import StatusCode


def _root(tree):
    (root,) = [span for span in tree.spans if span.parent is None]
    return root


def _assert_left(tree, output):
    """The turn shows the output, was stopped early, and nothing below it is an error."""
    root = _root(tree)
    assert root.attributes["lucidic.stopped_early"] is True
    assert root.attributes.get("output.value") == output
    assert [span.name for span in tree.spans if span.status.status_code is StatusCode.ERROR] == []
    assert [span.name for span in tree.spans if span.attributes.get("lucidic.incomplete")] == []


def _graph(lc):
    def node(state):
        return {"messages": [lc.chat("one two three").invoke(state["messages"])]}

    async def anode(state):
        return {"messages": [await lc.chat("one two three").ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("first", RunnableLambda(node, anode))
    graph.add_node("second", RunnableLambda(node, anode))
    graph.add_edge(START, "first")
    graph.add_edge("first", "second")
    return graph.compile()


ASKED = {"messages": [("user", "count")]}


@pytest.mark.parametrize("how", ["close", "drop"])
def test_chain(lc, config, tree, how):
    """A chain's stream that is closed or dropped shows what it gave."""
    stream = (lc.chat("one two three") | StrOutputParser()).stream("count", config)
    said = "".join(next(stream) for _ in range(3))
    if how == "close":
        stream.close()
    del stream
    gc.collect()
    _assert_left(tree, said)
    assert tree.one("LLM").attributes["output.value"].startswith(said)
    assert tree.one("LLM").attributes["lucidic.stopped_early"] is True


@pytest.mark.parametrize("how", ["close", "drop"])
async def test_asynchronous_chain(lc, config, tree, how):
    """The same in asynchronous code."""
    stream = (lc.chat("one two three") | StrOutputParser()).astream("count", config)
    said = "".join([await anext(stream) for _ in range(3)])
    if how == "close":
        await stream.aclose()
    del stream
    gc.collect()
    await lc.settled()
    _assert_left(tree, said)


def _giving(*chunks):
    def generate(asked):
        yield from chunks

    return RunnableGenerator(generate)


@pytest.mark.parametrize(
    ("given", "output"),
    [
        (_giving("a", "b", "c"), "ab"),
        (_giving(1, 2, 3), "3"),
        (_giving({"a": 1}, {"a": 2}, {"a": 3}), '{"a": 2}'),
        (RunnableParallel(a=_giving("x", "y", "z")), "xy"),
        (RunnableBranch((lambda asked: True, _giving("x", "y", "z")), RunnableLambda(str)), "xy"),
    ],
)
def test_what_is_shown(config, tree, given, output):
    """What was given is added up as LangChain adds it up; where it cannot be, the last is shown."""
    stream = given.with_config(run_name="root").stream("x", config)
    next(stream), next(stream)
    stream.close()
    _assert_left(tree, output)


def test_structure(lc, config, tree):
    """The newest form of a structure that grows is shown."""
    stream = (lc.chat('{"a": 1, "b": 2}') | JsonOutputParser()).stream("count", config)
    seen = [next(stream), next(stream)]
    stream.close()
    assert seen[-1] == {"a": 1}
    _assert_left(tree, '{"a": 1}')


@pytest.mark.parametrize(
    ("mode", "steps", "output"),
    [
        ("messages", 3, "one two"),
        (["updates", "messages"], 3, "one two"),
        ("updates", 1, "one two three"),
        ("values", 1, None),
        ("values", 2, "one two three"),
    ],
)
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_graph(lc, config, tree, mode, steps, output, asynchronous):
    """A graph's stream shows the words of the newest answer that it gave; a question is no answer."""
    if asynchronous:
        stream = _graph(lc).astream(ASKED, config, stream_mode=mode)
        for _ in range(steps):
            await anext(stream)
        await stream.aclose()
    else:
        stream = _graph(lc).stream(ASKED, config, stream_mode=mode)
        for _ in range(steps):
            next(stream)
        stream.close()
    await lc.settled()
    shown = _root(tree).attributes.get("output.value")
    _assert_left(tree, None if output is None else shown)
    assert output is None or shown.strip() == output


def test_chunks_that_say_more(lc, config, tree):
    """The same for an agent's chunks that say their mode and subgraph."""
    agent = create_agent(lc.chat("one two three"), [])
    stream = agent.stream(ASKED, config, stream_mode=["messages"], subgraphs=True)
    next(stream)
    stream.close()
    _assert_left(tree, "one")


async def test_inside_another(lc, config, tree):
    """A stream that is left inside a run was left, although LangChain ends it after that run."""

    async def read(asked):
        stream = (lc.chat("one two three") | StrOutputParser()).astream(asked, config)
        said = await anext(stream)
        await stream.aclose()
        return said

    await RunnableLambda(read).ainvoke("count", config)
    await lc.settled()
    (inner,) = [span for span in tree.spans if span.name == "RunnableSequence"]
    assert inner.attributes["lucidic.stopped_early"] is True
    assert inner.attributes["output.value"] == "one"
    assert tree.one("LLM").attributes["lucidic.stopped_early"] is True
    assert [span.name for span in tree.spans if span.attributes.get("lucidic.incomplete")] == []


@pytest.mark.parametrize("what", ["chain", "graph", "model"])
async def test_events(lc, config, tree, what):
    """Leaving a stream of events is no error for the runs that the events are about."""
    given = {
        "chain": lc.chat("one two") | StrOutputParser(),
        "graph": _graph(lc),
        "model": lc.chat("one two"),
    }
    stream = given[what].astream_events(ASKED if what == "graph" else "count", config, version="v2")
    async for event in stream:
        if event["event"] == "on_chat_model_stream":
            break
    await stream.aclose()
    await lc.settled()
    _assert_left(tree, _root(tree).attributes.get("output.value"))


async def test_a_consumer_that_is_cancelled(lc, config, tree):
    """A cancelled consumer is a cancellation, and the part that came is shown."""
    came = asyncio.Event()

    async def slow(asked):
        yield "a"
        came.set()
        await asyncio.Event().wait()

    async def consume():
        async for _ in RunnableGenerator(slow).astream("x", config):
            pass

    task = asyncio.create_task(consume())
    await came.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert _root(tree).attributes["lucidic.cancelled"] is True
    assert _root(tree).attributes["output.value"] == "a"


def test_a_stream_that_fails(config, tree):
    """A stream that fails keeps its error and the part that came."""

    def failing(asked):
        yield "a"
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        list(RunnableGenerator(failing).stream("x", config))
    assert _root(tree).status.description == "ValueError: bad"
    assert _root(tree).attributes["output.value"] == "a"


def test_a_graph_that_fails(lc, config, tree):
    """A graph that fails has no output: what its steps gave is no answer."""

    def bad(state):
        raise ValueError("bad")

    graph = StateGraph(MessagesState)
    graph.add_node("good", lambda state: {"messages": [("ai", "so far")]})
    graph.add_node("bad", bad)
    graph.add_edge(START, "good")
    graph.add_edge("good", "bad")
    with pytest.raises(ValueError, match="bad"):
        graph.compile().invoke(ASKED, config)
    assert _root(tree).status.status_code is StatusCode.ERROR
    assert "output.value" not in _root(tree).attributes


def test_a_stream_read_to_its_end(lc, config, tree):
    """A stream that is read to its end and closed then was not left."""
    stream = (lc.chat("one two") | StrOutputParser()).stream("count", config)
    assert "".join(stream) == "one two"
    stream.close()
    assert _root(tree).status.is_ok
    assert "lucidic.stopped_early" not in _root(tree).attributes


class _Thrown(Exception):
    """What a consumer throws into a stream."""


def test_what_is_thrown_in(lc, config, tree):
    """An exception that a consumer throws into a stream comes back, is the run's error, and is held by nothing."""
    stream = RunnableLambda(lambda asked: asked).stream("x", config)
    next(stream)
    error = _Thrown("out")
    held = weakref.ref(error)
    gc.disable()
    try:
        try:
            stream.throw(error)
        except _Thrown:
            pass
        del error
        assert held() is None
    finally:
        gc.enable()
    assert _root(tree).status.description == "_Thrown: out"


async def test_streams_are_generators(lc, config):
    """Streams are generators to those who ask: of chains, graphs and models."""
    for given in (lc.chat() | StrOutputParser(), _graph(lc), lc.chat()):
        stream, astream = given.stream("x", config), given.astream("x", config)
        assert inspect.isgenerator(stream)
        assert isinstance(stream, Generator)
        assert inspect.isasyncgen(astream)
        assert isinstance(astream, AsyncGenerator)
        stream.close()
        await astream.aclose()
