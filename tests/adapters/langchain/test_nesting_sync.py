"""Where a user's span lands in synchronous code: below the run whose code opened it."""

from __future__ import annotations

import operator
import threading
from contextvars import copy_context
from typing import Annotated, TypedDict

import pytest
from langchain_classic.retrievers import EnsembleRetriever, MultiQueryRetriever
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tracers.context import collect_runs
from langgraph.graph import END, START, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Send
from opentelemetry import trace

from lucidic.testing import session_id_of


pytestmark = [
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning"),
]


class State(TypedDict):
    seen: Annotated[list, operator.add]


def test_lambda(lc, config, tree):
    """A span opened in a lambda is a child of the lambda's run."""
    RunnableLambda(lambda _: lc.user("u"), name="f").invoke("x", config)
    assert tree.names_above("u") == ["f"]


@pytest.mark.parametrize("wrap", [lambda m: m, lambda m: m | StrOutputParser()])
def test_chat_model(lc, config, tree, wrap):
    """A span opened while a chat model works, a client's for instance, is a child of the model call."""
    wrap(lc.chat()).invoke("x", config)
    assert tree.kinds_above("in-model") == ["LLM"]


def test_every_chunk_of_a_stream(lc, config, tree):
    """Every step of a streamed answer runs below the model call, and the consumer's code does not."""
    for _ in lc.chat("a b c").stream("x", config):
        lc.user("consumer")
    assert set(tree.kinds_above("in-model")) == {"LLM"}
    assert len(tree.kinds_above("in-model")) >= 5
    assert set(tree.names_above("consumer")) == {None}


def test_text_model(lc, config, tree):
    """A span opened while a text model works is a child of the model call."""
    lc.Text(responses=["a"]).invoke("x", config)
    assert tree.kinds_above("in-model") == ["LLM"]


def test_tool(lc, config, tree):
    """A span opened in a tool is a child of the tool's run."""
    lc.Tool().invoke({"key": "a"}, config)
    assert tree.kinds_above("in-tool") == ["TOOL"]


def test_retriever(lc, config, tree):
    """A span opened in a retriever is a child of the retriever's run."""
    lc.Retriever().invoke("q", config)
    assert tree.kinds_above("in-retriever") == ["RETRIEVER"]
    assert lc.nothing_current()


def _parallel_graph(lc):
    graph = StateGraph(State)

    def node(name):
        def run(state):
            lc.user(f"in-{name}")
            return {"seen": [name]}

        return run

    for name in ("left", "right", "sent"):
        graph.add_node(name, node(name))
        graph.add_edge(name, END)
    graph.add_edge(START, "left")
    graph.add_edge(START, "right")
    graph.add_conditional_edges(START, lambda _: [Send("sent", {"seen": []}), Send("sent", {"seen": []})])
    return graph.compile()


def test_parallel_nodes_and_sends(lc, config, tree):
    """Each parallel node and each Send has its own span, with its own user's span below it."""
    _parallel_graph(lc).invoke({"seen": []}, config)
    assert tree.names_above("in-left") == ["left"]
    assert tree.names_above("in-right") == ["right"]
    assert len({span.context.span_id for span in tree.parents_of("in-sent")}) == 2
    assert len(tree.traces()) == 1


def test_parallel_tools(lc, config, tree):
    """Two tools that a node runs at once each have their own child."""
    node = ToolNode([lc.Tool(name="a"), lc.Tool(name="b")])
    calls = lc.calling(("a", {"key": "1"}, "c1"), ("b", {"key": "2"}, "c2"))
    graph = StateGraph(dict).add_node("tools", node).add_edge(START, "tools").compile()
    graph.invoke({"messages": [calls]}, config)
    assert sorted(tree.names_above("in-tool")) == ["a", "b"]
    assert set(tree.kinds_above("in-tool")) == {"TOOL"}


def test_batch(lc, config, tree):
    """Each input of a batch has its own run, and nothing stays current after it."""
    chain = RunnableLambda(lambda _: lc.user("u"), name="f") | RunnableLambda(lambda x: x)
    chain.batch(["a", "b", "c"], config)
    assert len({span.context.span_id for span in tree.parents_of("u")}) == 3
    assert len(tree.traces()) == 3


def test_user_span_between_a_node_and_a_model(lc, config, tree):
    """A span that the user opens in a node becomes the parent of the model call inside it."""

    def node(_):
        with trace.get_tracer("user").start_as_current_span("between"):
            lc.chat().invoke("x")

    RunnableLambda(node, name="node").invoke("x", config)
    assert tree.names_above("between") == ["node"]
    assert tree.names_above("Chat") == ["between"]
    assert tree.kinds_above("in-model") == ["LLM"]


def test_events_of_version_3(lc, config, tree, version_3):
    """The steps of ``stream_events(version="v3")`` run below the model call."""
    stream = lc.chat("a b").stream_events("x", config, version="v3")
    for _ in stream:
        lc.user("consumer")
    assert set(tree.kinds_above("in-model")) == {"LLM"}
    assert set(tree.names_above("consumer")) == {None}


def test_generator_body(lc, config, tree):
    """A generator function in a chain runs below its own run at every step."""

    def chunks(steps):
        for step in steps:
            lc.user("in-generator")
            yield step

    chain = lc.chat("a b c") | StrOutputParser() | chunks
    for _ in chain.stream("x", config):
        lc.user("consumer")
    assert set(tree.names_above("in-generator")) == {"chunks"}
    assert set(tree.kinds_above("in-model")) == {"LLM"}
    assert set(tree.names_above("consumer")) == {None}


def test_below_an_outer_span(lc, config, tree):
    """A run inside the user's own span is its child."""
    with trace.get_tracer("user").start_as_current_span("outer"):
        lc.chat().invoke("x", config)
    assert tree.names_above("Chat") == ["outer"]


def test_parallel_branches(lc, config, tree):
    """Branches of a RunnableParallel, which run in threads, each keep their own children."""
    RunnableParallel(
        a=RunnableLambda(lambda _: lc.user("ua"), name="fa"),
        b=RunnableLambda(lambda _: lc.user("ub"), name="fb"),
    ).invoke("x", config)
    assert tree.names_above("ua") == ["fa"]
    assert tree.names_above("ub") == ["fb"]


def test_callbacks_passed_again_inside(lc, config, tree):
    """Passing the handler again inside a node keeps one trace, and one span of a run."""
    RunnableLambda(lambda _: lc.chat().invoke("x", config), name="node").invoke("x", config)
    assert len(tree.traces()) == 1
    assert len(tree.of_kind("LLM")) == 1


def test_user_threads(lc, handler, config, tree):
    """A thread with the copied context nests; one without it hangs on LangChain's own parent."""

    def node(_, config):
        context = copy_context()
        threads = [
            threading.Thread(target=context.run, args=(lambda: lc.user("copied"),)),
            threading.Thread(target=lambda: lc.chat().invoke("x", {"callbacks": config["callbacks"]})),
        ]
        for thread in threads:
            thread.start()
            thread.join()

    RunnableLambda(node, name="node").invoke("x", config)
    assert tree.names_above("copied") == ["node"]
    assert tree.names_above("Chat") == ["node"]


def test_subgraphs(lc, config, tree):
    """A graph in a node of a graph keeps the whole path: outer, node, inner, node, model."""
    inner = (
        StateGraph(dict)
        .add_node("deep", lambda _: {"out": lc.chat().invoke("x").content})
        .add_edge(START, "deep")
        .compile(name="inner")
    )
    outer = StateGraph(dict).add_node("sub", inner).add_edge(START, "sub").compile(name="outer")
    outer.invoke({"in": 1}, config)
    path, span = [], tree.one("LLM")
    while span is not None:
        path.append(span.name)
        span = tree.parent(span)
    assert path == ["Chat", "deep", "inner", "sub", "outer"] or path == ["Chat", "deep", "sub", "outer"]


def test_retries_and_fallbacks(lc, config, tree):
    """A fallback's run is a sibling of the failed one, and both are below the chain."""

    def fail(_):
        lc.user("in-failing")
        raise ValueError("no")

    chain = RunnableLambda(fail, name="first").with_fallbacks(
        [RunnableLambda(lambda _: lc.user("in-second"), name="second")]
    )
    chain.invoke("x", config)
    assert tree.names_above("in-failing") == ["first"]
    assert tree.names_above("in-second") == ["second"]
    assert tree.names_above("first") == tree.names_above("second")


def test_another_handler_sees_the_same(lc, config, tree):
    """LangChain's own collectors work beside the handler."""
    with collect_runs() as runs:
        lc.chat(AIMessage("a")).invoke("x", config)
    assert len(runs.traced_runs) == 1
    assert len(tree.spans) == 2


def test_retrievers_of_retrievers(lc, config, tree):
    """Retrievers that ask others, in threads of LangChain's too, have them below them, and the model that they ask."""
    several = RunnableParallel(
        many=MultiQueryRetriever.from_llm(lc.Retriever(), lc.chat("q1\nq2")),
        both=EnsembleRetriever(retrievers=[lc.Retriever(), lc.Retriever()], weights=[0.5, 0.5]),
    )
    several.invoke("q", {**config, "configurable": {"thread_id": "t-1"}})
    assert sorted(tree.names_above("Retriever")) == ["EnsembleRetriever"] * 2 + ["MultiQueryRetriever"] * 2
    assert tree.kinds_above("in-retriever") == ["RETRIEVER"] * 4
    assert tree.names_above("Chat") == ["RunnableSequence"]
    assert set(tree.kinds_above("MultiQueryRetriever") + tree.kinds_above("EnsembleRetriever")) == {"CHAIN"}
    assert {session_id_of(span) for span in tree.spans} == {"t-1"}
