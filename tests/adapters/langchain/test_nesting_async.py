"""Where a user's span lands in asynchronous code: below the run whose code opened it.

On Python 3.10 LangChain cannot give its tasks a context, so there the tests only demand that
LangChain's own tree is whole.
"""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, TypedDict

import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Send
from opentelemetry import trace


pytestmark = [
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning"),
]


class State(TypedDict):
    seen: Annotated[list, operator.add]


@pytest.fixture
def deep(lc):
    """Skip where tasks cannot be given a context."""
    if not lc.contexts_for_tasks:
        pytest.skip("Python 3.10 cannot give a task a context: nesting degrades to LangChain's parents")


def _async(lc, name):
    async def run(_):
        lc.user(f"in-{name}")

    return RunnableLambda(run, name=name)


async def test_lambda(lc, config, tree, deep):
    """A span opened in an asynchronous lambda is a child of its run, and nothing stays current."""
    await _async(lc, "f").ainvoke("x", config)
    assert tree.names_above("in-f") == ["f"]
    assert lc.nothing_current()


async def test_chat_model(lc, config, tree):
    """A span opened while a chat model works is a child of the model call."""
    await lc.chat().ainvoke("x", config)
    assert tree.kinds_above("in-model") == ["LLM"]
    assert lc.nothing_current()


async def test_every_chunk_of_a_stream(lc, config, tree):
    """Every step of a streamed answer runs below the model call, and the consumer's code does not."""
    async for _ in lc.chat("a b c").astream("x", config):
        lc.user("consumer")
    assert set(tree.kinds_above("in-model")) == {"LLM"}
    assert set(tree.names_above("consumer")) == {None}


async def test_text_model(lc, config, tree):
    """A span opened while a text model works is a child of the model call."""
    await lc.Text(responses=["a"]).ainvoke("x", config)
    assert tree.kinds_above("in-model") == ["LLM"]


async def test_synchronous_tool(lc, config, tree):
    """A synchronous tool called from a task still runs below its own span."""
    await lc.Tool().ainvoke({"key": "a"}, config)
    assert tree.kinds_above("in-tool") == ["TOOL"]


async def test_asynchronous_tool(lc, config, tree, deep):
    """An asynchronous tool runs below its own span."""

    class Async(lc.Tool):
        async def _arun(self, key: str = "k"):
            await asyncio.sleep(0)
            lc.user("in-tool")
            return key

    await Async().ainvoke({"key": "a"}, config)
    assert tree.kinds_above("in-tool") == ["TOOL"]


async def test_retriever(lc, config, tree):
    """A span opened in a retriever is a child of the retriever's run, and nothing stays current."""
    await lc.Retriever().ainvoke("q", config)
    assert tree.kinds_above("in-retriever") == ["RETRIEVER"]
    assert lc.nothing_current()


def _parallel_graph(lc, *, synchronous):
    graph = StateGraph(State)

    def node(name):
        def run(state):
            lc.user(f"in-{name}")
            return {"seen": [name]}

        async def arun(state):
            await asyncio.sleep(0)
            return run(state)

        return run if synchronous else arun

    for name in ("left", "right", "sent"):
        graph.add_node(name, node(name))
        graph.add_edge(name, END)
    graph.add_edge(START, "left")
    graph.add_edge(START, "right")
    graph.add_conditional_edges(START, lambda _: [Send("sent", {"seen": []}), Send("sent", {"seen": []})])
    return graph.compile()


@pytest.mark.parametrize("synchronous", [False, True])
async def test_parallel_nodes_and_sends(lc, config, tree, deep, synchronous):
    """Each parallel node and each Send has its own span, with its own user's span below it."""
    await _parallel_graph(lc, synchronous=synchronous).ainvoke({"seen": []}, config)
    assert tree.names_above("in-left") == ["left"]
    assert tree.names_above("in-right") == ["right"]
    assert len({span.context.span_id for span in tree.parents_of("in-sent")}) == 2
    assert len(tree.traces()) == 1


async def test_parallel_tools(lc, config, tree, deep):
    """Two tools that a node runs at once each have their own child."""
    node = ToolNode([lc.Tool(name="a"), lc.Tool(name="b")])
    calls = lc.calling(("a", {"key": "1"}, "c1"), ("b", {"key": "2"}, "c2"))
    graph = StateGraph(dict).add_node("tools", node).add_edge(START, "tools").compile()
    await graph.ainvoke({"messages": [calls]}, config)
    assert sorted(tree.names_above("in-tool")) == ["a", "b"]
    assert set(tree.kinds_above("in-tool")) == {"TOOL"}


async def test_batch(lc, config, tree, deep):
    """Each input of a batch has its own run, and nothing stays current after it."""
    await (_async(lc, "f") | _async(lc, "g")).abatch(["a", "b", "c"], config)
    assert len({span.context.span_id for span in tree.parents_of("in-f")}) == 3
    assert len(tree.traces()) == 3
    assert lc.nothing_current()


async def test_two_prompts_of_one_call(lc, handler, tree):
    """Each prompt of ``agenerate`` is a model call of its own, with its own children."""
    await lc.chat().agenerate([[_human("a")], [_human("b")]], callbacks=[handler])
    assert len({span.context.span_id for span in tree.parents_of("in-model")}) == 2
    assert set(tree.kinds_above("in-model")) == {"LLM"}


def _human(text):
    from langchain_core.messages import HumanMessage

    return HumanMessage(text)


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_stream_of_events(lc, config, tree, deep, version):
    """The bodies below ``astream_events`` run below their own spans; the consumer does not."""
    chain = _async(lc, "f") | RunnableLambda(lambda _: "x") | lc.chat("a b") | StrOutputParser()
    async for _ in chain.astream_events("x", config, version=version):
        lc.user("consumer")
    assert set(tree.names_above("in-f")) == {"f"}
    assert set(tree.kinds_above("in-model")) == {"LLM"}
    assert set(tree.names_above("consumer")) == {None}


async def test_events_of_version_3(lc, config, tree, version_3):
    """The steps of ``astream_events(version="v3")`` run below the model call."""
    stream = await lc.chat("a b").astream_events("x", config, version="v3")
    async for _ in stream:
        lc.user("consumer")
    await lc.settled()
    assert set(tree.kinds_above("in-model")) == {"LLM"}
    assert set(tree.names_above("consumer")) == {None}


async def test_graph_events_of_version_3(lc, config, tree, version_3, deep):
    """Model calls below a graph's events of version 3 keep their children."""

    async def node(state):
        return {"out": (await lc.chat("a b").ainvoke("x")).content}

    graph = StateGraph(dict).add_node("node", node).add_edge(START, "node").compile()
    run = await graph.astream_events({"in": 1}, config, version="v3")
    async for _ in run:
        pass
    assert set(tree.kinds_above("in-model")) == {"LLM"}
    assert tree.names_above("Chat") == ["node"]


async def test_generator_body(lc, config, tree, deep):
    """An asynchronous generator function in a chain runs below its own run at every step."""

    async def chunks(steps):
        async for step in steps:
            lc.user("in-generator")
            yield step

    chain = lc.chat("a b c") | StrOutputParser() | chunks
    async for _ in chain.astream("x", config):
        lc.user("consumer")
    assert set(tree.names_above("in-generator")) == {"chunks"}
    assert set(tree.kinds_above("in-model")) == {"LLM"}
    assert set(tree.names_above("consumer")) == {None}


async def test_many_graphs_below_one_span(lc, config, tree):
    """Five graphs gathered below a user's span are its children, and stay apart."""
    graph = _parallel_graph(lc, synchronous=False)
    with trace.get_tracer("user").start_as_current_span("outer"):
        await asyncio.gather(*(graph.ainvoke({"seen": []}, config) for _ in range(5)))
    assert tree.names_above("LangGraph") == ["outer"] * 5
    assert len(tree.traces()) == 1


async def test_user_span_between_a_node_and_a_model(lc, config, tree, deep):
    """A span that the user opens in a node becomes the parent of the model call inside it."""

    async def node(state):
        with trace.get_tracer("user").start_as_current_span("between"):
            return {"out": (await lc.chat().ainvoke("x")).content}

    graph = StateGraph(dict).add_node("node", node).add_edge(START, "node").compile()
    await graph.ainvoke({"in": 1}, config)
    assert tree.names_above("between") == ["node"]
    assert tree.names_above("Chat") == ["between"]


async def test_current_span_is_the_runs_own(lc, config, tree, deep):
    """``trace.get_current_span()`` inside a node, a tool, a lambda and its events is that run's span."""
    seen = {}

    def look(_):
        seen["look"] = trace.get_current_span().name

    async def node(state):
        seen["node"] = trace.get_current_span().name
        await Asking().ainvoke({"key": "a"})
        return {"out": 1}

    class Asking(lc.Tool):
        name: str = "asking"

        async def _arun(self, key: str = "k"):
            seen["asking"] = trace.get_current_span().name

    graph = StateGraph(dict).add_node("node", node).add_edge(START, "node").compile()
    await graph.ainvoke({"in": 1}, config)
    assert seen == {"node": "node", "asking": "asking"}
    async for _ in RunnableLambda(look).astream_events("x", config, version="v2"):
        assert lc.nothing_current()
    assert seen["look"] == "look"


async def test_tree_of_langchain_alone(lc, config, tree):
    """On every Python, LangChain's own runs form one whole tree."""

    async def node(state, config):
        return {"out": (await lc.chat().ainvoke("x", config)).content}

    graph = StateGraph(dict).add_node("node", node).add_edge(START, "node").compile(name="graph")
    await graph.ainvoke({"in": 1}, config)
    assert tree.names_above("Chat") == ["node"]
    assert tree.names_above("node") == ["graph"]
