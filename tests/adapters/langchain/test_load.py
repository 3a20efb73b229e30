"""Long-lived handlers: no span is lost, no object stays, memory does not grow."""

from __future__ import annotations

import asyncio
import gc
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.graph import START, StateGraph
from opentelemetry.sdk.trace import Span

from lucidic_adapters.langchain._runs import RUNS, Run


def _alive(*kinds, collected=True):
    """Count the objects of these classes that are still there."""
    if collected:
        gc.collect()
    return sum(isinstance(item, kinds) for item in gc.get_objects())


def test_a_finished_run_needs_no_garbage_collector(lc, config, captured):
    """What a run was recorded with is freed when the run has ended, not when the collector comes by."""
    chain = RunnableLambda(str) | lc.chat()
    chain.invoke("x", config)
    captured.clear()
    gc.collect()
    gc.disable()
    try:
        before = _alive(Span, Run, collected=False)
        chain.invoke("x", config)
        list(chain.stream("x", config))
        assert len(captured.spans) > 6
        captured.clear()
        assert _alive(Span, Run, collected=False) == before
    finally:
        gc.enable()


async def test_timed_out_calls_leave_no_object(lc, config, captured):
    """A hundred calls that time out leave no live span and no run."""
    stuck = [lc.chat(cls=lc.Stuck, reached=asyncio.Event()) for _ in range(101)]

    async def timing_out(model):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(model.ainvoke("x", config), 0.001)

    await timing_out(stuck.pop())  # the last exception, and what it refers to, stays
    captured.clear()
    before = _alive(Span, Run)
    for model in stuck:
        await timing_out(model)
    assert len(captured.spans) == 100
    captured.clear()
    assert _alive(Span, Run) == before
    assert len(RUNS) == 0


@pytest.mark.slow
async def test_a_thousand_random_cancellations(lc, config, captured):
    """A thousand runs cancelled at random moments give every span they started, finished, and leave no object."""
    chooser = random.Random(7)

    class Waiting(lc.Chat):
        async def _agenerate(self, *args, **kwargs):
            for _ in range(6):
                await asyncio.sleep(0)
            return await super()._agenerate(*args, **kwargs)

    class Tool(lc.Tool):
        async def _arun(self, key: str = "k"):
            for _ in range(4):
                await asyncio.sleep(0)
            return key

    async def node(state, config):
        await Tool().ainvoke({"key": "a"}, config)
        return {"out": (await lc.chat(cls=Waiting).ainvoke("x", config)).content}

    graph = StateGraph(dict).add_node("node", node).add_edge(START, "node").compile()

    async def one():
        task = asyncio.create_task(graph.ainvoke({"a": 1}, config))
        for _ in range(chooser.randrange(60)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    # A thread keeps the context in which it was started: this one's is empty.
    executor = ThreadPoolExecutor(1)
    executor.submit(int).result()
    asyncio.get_running_loop().set_default_executor(executor)
    before = _alive(Span, Run)
    for _ in range(50):
        await asyncio.gather(*(one() for _ in range(20)))
    started = {span.get_span_context().span_id for span in captured.started}
    ended = {span.get_span_context().span_id for span in captured.spans}
    assert len(started) > 2000
    assert started == ended
    assert len(captured.spans) == len(ended)
    captured.clear()
    assert _alive(Span, Run) == before


MANY_RUNS = """
import gc, resource
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda
from lucidic.langchain import LucidicHandler
from lucidic.testing import capture_spans

def peak():
    gc.collect()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB

with capture_spans() as captured:
    config = {"callbacks": [LucidicHandler()]}
    step, model = RunnableLambda(lambda x: x), FakeListChatModel(responses=["a"])
    def run(times):
        for number in range(times):
            (model if number % 10 == 0 else step).invoke("x", config)
            captured.clear()
    run(1_000)
    before = peak()
    run(9_000)
    print(peak() - before)
"""


@pytest.mark.slow
def test_memory_of_ten_thousand_runs():
    """The memory of a process that makes ten thousand calls does not grow after the first thousand."""
    ran = subprocess.run([sys.executable, "-c", MANY_RUNS], capture_output=True, text=True, timeout=110)
    assert (0, "") == (ran.returncode, ran.stderr)
    assert int(ran.stdout) < 4 * 1024, "KiB in 9,000 calls"
