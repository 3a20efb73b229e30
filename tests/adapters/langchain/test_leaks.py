"""Nothing of a run stays behind: not in the caller's context, not in a consumer's, not in memory."""

from __future__ import annotations

import asyncio
import gc

import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.graph import START, StateGraph
from opentelemetry import trace

from lucidic_adapters.langchain._runs import RUNS


@pytest.fixture
def outer():
    """Run the test below a user's span, which must be current again after everything."""
    with trace.get_tracer("user").start_as_current_span("outer") as span:
        yield span
        assert trace.get_current_span() is span


def test_after_calls(lc, config, outer):
    """After invoke, batch and a retriever the caller's span is current again."""
    chain = RunnableLambda(lambda x: x) | lc.chat()
    for call in (
        lambda: chain.invoke("x", config),
        lambda: chain.batch(["x", "y"], config),
        lambda: lc.Retriever().invoke("q", config),
        lambda: lc.Tool().invoke({"key": "a"}, config),
        lambda: list(chain.stream("x", config)),
    ):
        call()
        assert trace.get_current_span() is outer


async def test_after_asynchronous_calls(lc, config):
    """After ainvoke, abatch and astream the caller's span is current again, in the same task."""
    chain = RunnableLambda(lambda x: x) | lc.chat()
    with trace.get_tracer("user").start_as_current_span("outer") as outer:
        for call in (
            lambda: chain.ainvoke("x", config),
            lambda: chain.abatch(["x", "y"], config),
            lambda: lc.Retriever().ainvoke("q", config),
            lambda: lc.Tool().ainvoke({"key": "a"}, config),
        ):
            await call()
            assert trace.get_current_span() is outer
        async for _ in chain.astream("x", config):
            assert trace.get_current_span() is outer


def test_after_a_break(lc, config, outer):
    """Breaking out of a stream, and dropping it, leaves the consumer's span current."""
    for source in (lc.chat("a b c"), RunnableLambda(lambda x: x) | lc.chat("a b c")):
        for _ in source.stream("x", config):
            break
        gc.collect()
        assert trace.get_current_span() is outer


async def test_after_an_asynchronous_break(lc, config):
    """Closing an asynchronous stream half-way leaves the consumer's span current."""
    with trace.get_tracer("user").start_as_current_span("outer") as outer:
        for source in (lc.chat("a b c"), RunnableLambda(lambda x: x) | lc.chat("a b c")):
            stream = source.astream("x", config)
            async for _ in stream:
                break
            await stream.aclose()
            assert trace.get_current_span() is outer


async def test_after_errors_and_timeouts(lc, config):
    """After a model's error and after a timeout the caller's span is current again."""

    class Failing(lc.Chat):
        async def _agenerate(self, *args, **kwargs):
            raise ValueError("no")

    stuck = lc.chat(cls=lc.Stuck, reached=asyncio.Event())
    with trace.get_tracer("user").start_as_current_span("outer") as outer:
        with pytest.raises(ValueError, match="no"):
            await lc.chat(cls=Failing).ainvoke("x", config)
        assert trace.get_current_span() is outer
        call = asyncio.create_task(stuck.ainvoke("x", config))
        await stuck.reached.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert trace.get_current_span() is outer


def test_a_stream_closed_in_another_context(lc, config):
    """A stream begun in one context and closed in another raises nothing and logs nothing."""
    from contextvars import copy_context

    stream = lc.chat("a b c").stream("x", config)
    copy_context().run(next, stream)
    copy_context().run(stream.close)


async def test_a_loop_that_closes_its_generators(lc, config):
    """The event loop can close every generator at its end at once, ours included."""
    stream = (RunnableLambda(lambda x: x) | lc.chat("a b c")).astream("x", config)
    await anext(stream)
    await asyncio.get_running_loop().shutdown_asyncgens()


def test_many_runs_leave_no_state(lc, handler, config, captured):
    """A long-lived handler holds nothing of runs that ended."""
    before = {key: len(value) for key, value in vars(handler).items() if hasattr(value, "__len__")}
    graph = StateGraph(dict).add_node("n", lambda _: {"a": 1}).add_edge(START, "n").compile()
    chain = RunnableLambda(lambda x: x) | lc.chat()
    for _ in range(100):
        chain.invoke("x", config)
        graph.invoke({"a": 0}, config)
    assert len(RUNS) == 0
    assert {key: len(value) for key, value in vars(handler).items() if hasattr(value, "__len__")} == before


async def test_after_a_dropped_asynchronous_stream(lc, config):
    """A stream that is broken off and left to the garbage collector leaves the consumer's span current."""
    with trace.get_tracer("user").start_as_current_span("outer") as outer:
        for source in (lc.chat("a b c"), RunnableLambda(lambda x: x) | lc.chat("a b c")):
            stream = source.astream("x", config)
            async for _ in stream:
                break
            del stream
            gc.collect()
            for _ in range(10):  # the loop closes it in a task of its own
                await asyncio.sleep(0)
            assert trace.get_current_span() is outer
