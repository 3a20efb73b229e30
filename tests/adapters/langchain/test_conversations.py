"""Many conversations at once, in tasks and in threads, through one handler: no span in a wrong session."""

from __future__ import annotations

import asyncio
import threading

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from lucidic.testing import session_id_of


COUNT = 50
TURNS = 2


def _agent(lc, meet):
    @tool
    def look(key: str) -> str:
        """Look."""
        lc.user(f"in-tool {key}")
        return key

    @tool
    async def alook(key: str) -> str:
        """Look."""
        await meet()
        lc.user(f"in-tool {key}")
        return key

    def make(number, *, asynchronous):
        name = "alook" if asynchronous else "look"
        answers = []
        for _ in range(TURNS):
            answers += [lc.calling((name, {"key": f"k-{number}"}, f"c-{number}")), f"answer {number}"]
        model = lc.chat(*answers)
        return create_agent(model, [look, alook], checkpointer=InMemorySaver())

    return make


def _check(captured, lc):
    by_session = {}
    for span in captured.spans:
        by_session.setdefault(session_id_of(span), []).append(span)
    assert set(by_session) == {f"t-{number}" for number in range(COUNT)}
    shapes = {tuple(sorted(span.name.partition(" ")[0] for span in spans)) for spans in by_session.values()}
    assert len(shapes) == 1
    for session, spans in by_session.items():
        number = session.removeprefix("t-")
        assert {span.name for span in spans if span.name.startswith("in-tool")} == {f"in-tool k-{number}"}
        assert len({span.context.trace_id for span in spans}) == TURNS
        roots = [span for span in spans if span.parent is None]
        assert {span.attributes["output.value"] for span in roots} == {f"answer {number}"}


async def test_tasks(lc, config, captured):
    """Fifty conversations in tasks are fifty sessions, each with all of its spans."""
    waiting, everybody = 0, asyncio.Event()

    async def meet():
        nonlocal waiting
        waiting += 1
        if waiting >= COUNT:
            everybody.set()
        await everybody.wait()

    make = _agent(lc, meet)

    async def converse(number):
        agent = make(number, asynchronous=True)
        for _ in range(TURNS):
            given = {**config, "configurable": {"thread_id": f"t-{number}"}}
            await agent.ainvoke({"messages": [("user", f"question {number}")]}, given)

    if not lc.contexts_for_tasks:
        pytest.skip("Python 3.10 cannot give a task a context: foreign spans have no session there")
    await asyncio.gather(*(converse(number) for number in range(COUNT)))
    _check(captured, lc)


def test_threads(lc, config, captured):
    """Fifty conversations in threads are fifty sessions, each with all of its spans."""
    barrier, failures = threading.Barrier(COUNT), []
    make = _agent(lc, None)

    def converse(number):
        try:
            agent = make(number, asynchronous=False)
            barrier.wait(60)
            for _ in range(TURNS):
                given = {**config, "configurable": {"thread_id": f"t-{number}"}}
                agent.invoke({"messages": [("user", f"question {number}")]}, given)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=converse, args=(number,)) for number in range(COUNT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    _check(captured, lc)
