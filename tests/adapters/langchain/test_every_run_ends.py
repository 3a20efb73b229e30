"""Every run gives a finished span, with the true end and the reason: also those that LangChain never ends."""

from __future__ import annotations

import asyncio
import gc
import time

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.runnables import RunnableLambda
from langgraph.graph import START, StateGraph
from opentelemetry.trace import StatusCode


pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

ERROR, OK, UNSET = StatusCode.ERROR, StatusCode.OK, StatusCode.UNSET


def _cancelled(span):
    return (
        span.status.status_code is ERROR
        and span.status.description == "cancelled"
        and span.attributes["lucidic.cancelled"] is True
    )


async def _cancel(call, reached, before=lambda: None):
    task = asyncio.create_task(call)
    await reached.wait()
    before()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_model(lc, config, tree):
    """A cancelled model call is exported as cancelled, its end the moment of the cancellation."""
    reached = asyncio.Event()
    cancelled_at = []
    call = lc.chat(cls=lc.Stuck, reached=reached).ainvoke("x", config)
    await _cancel(call, reached, lambda: cancelled_at.append(time.time_ns()))
    span = tree.one("LLM")
    assert _cancelled(span)
    assert cancelled_at[0] <= span.end_time <= time.time_ns()


async def test_timed_out_model(lc, config, tree):
    """A model call that runs into ``asyncio.wait_for`` is exported as cancelled."""
    stuck = lc.chat(cls=lc.Stuck, reached=asyncio.Event())
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(stuck.ainvoke("x", config), 0.01)
    assert _cancelled(tree.one("LLM"))


async def test_cancelled_tool_and_retriever(lc, config, tree):
    """A cancelled tool and a cancelled retriever are exported as cancelled."""
    reached = asyncio.Event()

    class Tool(lc.Tool):
        async def _arun(self, key: str = "k"):
            reached.set()
            await asyncio.Event().wait()

    class Retriever(lc.Retriever):
        async def _aget_relevant_documents(self, query, *, run_manager):
            reached.set()
            await asyncio.Event().wait()

    await _cancel(Tool().ainvoke({"key": "a"}, config), reached)
    reached.clear()
    await _cancel(Retriever().ainvoke("q", config), reached)
    assert _cancelled(tree.one("TOOL"))
    assert _cancelled(tree.one("RETRIEVER"))
    assert lc.nothing_current()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_exit_inside(lc, config, tree, error):
    """A tool or retriever that is left by KeyboardInterrupt or SystemExit is exported with that error."""

    class Tool(lc.Tool):
        def _run(self, key: str = "k"):
            raise error

    class Retriever(lc.Retriever):
        def _get_relevant_documents(self, query, *, run_manager):
            raise error

    for call in (lambda: Tool().invoke({"key": "a"}, config), lambda: Retriever().invoke("q", config)):
        with pytest.raises(error):
            call()
    for kind in ("TOOL", "RETRIEVER"):
        span = tree.one(kind)
        assert span.status.status_code is ERROR
        assert span.events[-1].attributes["exception.type"] == error.__name__


async def test_graph_cancelled_in_a_tool(lc, config, tree):
    """When a graph is cancelled inside a tool, tool, node and graph are exported, in their tree."""
    reached = asyncio.Event()

    class Tool(lc.Tool):
        async def _arun(self, key: str = "k"):
            reached.set()
            await asyncio.Event().wait()

    async def node(state, config):
        await Tool().ainvoke({"key": "a"}, config)

    graph = StateGraph(dict).add_node("node", node).add_edge(START, "node").compile(name="graph")
    await _cancel(graph.ainvoke({"a": 1}, config), reached)
    assert tree.names_above("look") == ["node"]
    assert tree.names_above("node") == ["graph"]
    assert all(_cancelled(span) for span in tree.spans)


@pytest.mark.parametrize("order", [("bad", "ok"), ("ok", "bad")])
def test_one_of_two_prompts_fails(lc, handler, tree, order):
    """When one prompt of a call fails, the other one's run is exported too."""

    class Half(lc.Chat):
        def _generate(self, messages, *args, **kwargs):
            if messages[0].content == "bad":
                raise ValueError("no")
            return super()._generate(messages, *args, **kwargs)

    with pytest.raises(ValueError, match="no"):
        lc.chat(cls=Half).generate([[HumanMessage(text)] for text in order], callbacks=[handler])
    assert sorted(span.attributes["input.value"] for span in tree.of_kind("LLM")) == ["bad", "ok"]
    by_input = {span.attributes["input.value"]: span for span in tree.of_kind("LLM")}
    assert by_input["bad"].status.status_code is ERROR
    assert by_input["ok"].attributes["lucidic.incomplete"] is True


def test_dropped_events_of_version_3(lc, config, tree, version_3):
    """A stream of events that is dropped half-way is exported as stopped early."""
    stream = lc.chat("a b c").stream_events("x", config, version="v3")
    next(iter(stream))
    del stream
    gc.collect()
    span = tree.one("LLM")
    assert span.attributes["lucidic.stopped_early"] is True
    assert span.status.status_code is UNSET


def test_early_stop(lc, config, tree):
    """Breaking out of a stream is no error; the part of the answer that came is kept."""
    stream = lc.chat("one two three").stream("x", config)
    next(stream)
    stream.close()
    span = tree.one("LLM")
    assert span.attributes["lucidic.stopped_early"] is True
    assert span.attributes["output.value"] == "one"
    assert span.status.status_code is not ERROR


async def test_early_stop_of_a_graph(lc, config, tree):
    """Leaving a graph's stream early is no error for the graph nor for anything below it."""
    graph = StateGraph(dict)
    graph.add_node("a", lambda _: {"x": 1}).add_node("b", lambda _: {"x": 2})
    graph.add_edge(START, "a").add_edge("a", "b")
    stream = graph.compile(name="graph").astream({"x": 0}, config)
    await anext(stream)
    await stream.aclose()
    assert not [span.name for span in tree.spans if span.status.status_code is ERROR]
    (root,) = [span for span in tree.spans if span.name == "graph"]
    assert root.attributes["lucidic.stopped_early"] is True


async def test_early_stop_of_events(lc, config, tree):
    """Leaving ``astream_events`` early exports every run."""
    stream = (RunnableLambda(lambda x: x) | lc.chat("a b c")).astream_events("x", config, version="v2")
    async for event in stream:
        if event["event"] == "on_chat_model_stream":
            break
    await stream.aclose()
    assert {span.name for span in tree.spans} >= {"RunnableSequence", "Chat"}


def test_stream_that_fails(lc, config, tree):
    """A stream that breaks keeps the part of the answer that came, and the exception."""

    class Breaking(lc.Chat):
        def _stream(self, *args, **kwargs):
            for position, chunk in enumerate(super()._stream(*args, **kwargs)):
                if position == 2:
                    raise ValueError("broken off")
                yield chunk

    with pytest.raises(ValueError, match="broken off"):
        list(lc.chat("one two three", cls=Breaking).stream("x", config))
    span = tree.one("LLM")
    assert span.status.status_code is ERROR
    assert "broken off" in span.status.description
    assert span.attributes["output.value"].startswith("one")
    assert [event.name for event in span.events].count("exception") == 1


def test_handled_tool_error(lc, config, tree):
    """An error that a tool turns into its answer is shown as the tool's error, not as the caller's."""
    from langchain_core.tools import ToolException

    class Tool(lc.Tool):
        handle_tool_error: bool = True

        def _run(self, key: str = "k"):
            raise ToolException("no such key")

    call = {"name": "look", "args": {"key": "a"}, "id": "c1", "type": "tool_call"}
    assert Tool().invoke(call, config).status == "error"
    span = tree.one("TOOL")
    assert span.status.status_code is ERROR
    assert "no such key" in span.status.description
    assert "no such key" in span.attributes["output.value"]


class Refusing(BaseRateLimiter):
    """A rate limiter that raises."""

    def acquire(self, *, blocking=True):
        raise ValueError("too many")

    async def aacquire(self, *, blocking=True):
        raise ValueError("too many")


def test_rate_limiter_that_raises(lc, config, tree):
    """A rate limiter that raises after the start ends the run with its error."""
    model = lc.chat(rate_limiter=Refusing())
    with pytest.raises(ValueError, match="too many"):
        list(model.stream("x", config))
    with pytest.raises(ValueError, match="too many"):
        model.invoke("x", config)
    assert [span.status.status_code for span in tree.of_kind("LLM")] == [ERROR, ERROR]


def test_text_of_control_flow_is_an_error(lc, config, tree):
    """An ordinary error whose text looks like LangGraph's control flow is an error."""

    def fail(_):
        raise ValueError("GraphInterrupt( and ParentCommand(")

    with pytest.raises(ValueError, match="GraphInterrupt"):
        RunnableLambda(fail, name="f").invoke("x", config)
    (span,) = tree.spans
    assert span.status.status_code is ERROR


def test_defects_of_ours(lc, config, tree, monkeypatch):
    """An error in our own translation costs attributes, never a span and never the call."""
    from lucidic import _guard
    from lucidic_adapters.langchain import _describe, _handler

    def broken(*args, **kwargs):
        raise RuntimeError("ours")

    monkeypatch.setattr(_guard.state, "reraise", False)
    for name in ("describe", "input_of", "output_of", "late_input", "answered"):
        monkeypatch.setattr(_handler, name, broken)
    monkeypatch.setattr(_describe, "output_of", broken)
    monkeypatch.setattr(_handler._tools, "tool_result", broken)
    monkeypatch.setattr(_handler._tools, "found_documents", broken)
    assert (RunnableLambda(lambda x: x) | lc.chat("a")).invoke("x", config).content == "a"
    assert lc.Tool().invoke({"key": "k"}, config) == "found k"
    assert lc.Retriever().invoke("q", config)
    kinds = sorted(lc.kind(span) for span in tree.spans if lc.kind(span))
    assert kinds == ["CHAIN", "CHAIN", "LLM", "RETRIEVER", "TOOL"]


async def test_cancelled_during_a_start(lc, handler, tree):
    """A cancellation while another handler's start callback waits leaves nothing of ours open."""
    from langchain_core.callbacks import AsyncCallbackHandler

    reached = asyncio.Event()

    class Slow(AsyncCallbackHandler):
        async def on_chain_start(self, *args, **kwargs):
            reached.set()
            await asyncio.Event().wait()

        async def on_chat_model_start(self, *args, **kwargs):
            reached.set()
            await asyncio.Event().wait()

    config = {"callbacks": [handler, Slow()]}
    await _cancel(RunnableLambda(lambda x: x).ainvoke("x", config), reached)
    reached.clear()
    await _cancel(lc.chat().ainvoke("x", config), reached)
    assert len(tree.spans) == 2
    assert all(_cancelled(span) for span in tree.spans)


def test_late_callbacks(lc, handler, tree):
    """A callback for a run that has ended, or was never seen, does nothing."""
    from uuid import uuid4

    run = uuid4()
    handler.on_chain_start(None, {}, run_id=run)
    handler.on_chain_end({}, run_id=run)
    handler.on_chain_end({}, run_id=run)
    handler.on_llm_error(ValueError("late"), run_id=uuid4())
    handler.on_llm_new_token("t", run_id=run)
    assert len(tree.spans) == 1


def test_retries(lc, config, tree):
    """Each attempt of ``with_retry`` is a span with its number, and only the failed ones are errors."""
    tries = []

    def flaky(_):
        tries.append(1)
        if len(tries) < 3:
            raise ValueError("not yet")
        return "done"

    runnable = RunnableLambda(flaky, name="flaky").with_retry(
        stop_after_attempt=3, wait_exponential_jitter=False
    )
    assert runnable.invoke("x", config) == "done"
    below = [span for span in tree.spans if span.parent is not None]
    attempts = sorted(below, key=lambda span: span.start_time)
    assert [span.attributes.get("lucidic.retry.attempt") for span in attempts] == [None, 2, 3]
    assert [span.status.status_code for span in attempts] == [ERROR, ERROR, OK]


def test_retried_nodes(lc, config, tree):
    """Each attempt of a node with a RetryPolicy is a span."""
    from langgraph.types import RetryPolicy

    tries = []

    def flaky(_):
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("not yet")
        return {"a": 1}

    policy = RetryPolicy(max_attempts=3, initial_interval=0.0, jitter=False)
    graph = StateGraph(dict).add_node("flaky", flaky, retry_policy=policy).add_edge(START, "flaky").compile()
    graph.invoke({"a": 0}, config)
    below = [span for span in tree.spans if span.name == "flaky"]
    attempts = sorted(below, key=lambda span: span.start_time)
    assert [span.attributes.get("lucidic.retry.attempt") for span in attempts] == [None, 2, 3]
