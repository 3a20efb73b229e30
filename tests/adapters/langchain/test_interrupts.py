"""A graph that waits for a person, or hands over, is no error; its resume is linked in the same session."""

from __future__ import annotations

import sys
from typing import TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from opentelemetry.trace import StatusCode

from lucidic.langchain import LucidicHandler, instrument
from lucidic.testing import session_id_of
from lucidic_adapters.langchain._runs import Runs


class State(TypedDict):
    answer: str


def _asking():
    def ask(state):
        return {"answer": interrupt("Shall I?")}

    return (
        StateGraph(State).add_node("ask", ask).add_edge(START, "ask").compile(InMemorySaver(), name="graph")
    )


def _roots(captured):
    return sorted(
        (span for span in captured.spans if span.parent is None and span.name == "graph"),
        key=lambda span: span.start_time,
    )


@pytest.fixture(params=["explicit", "global"])
def config(request, captured):
    """A thread's configuration, with the handler passed or installed for the process."""
    found = {"configurable": {"thread_id": "t-1"}}
    if request.param == "explicit":
        yield {**found, "callbacks": [LucidicHandler()]}
        return
    undo = instrument()
    yield found
    undo()


def _check(captured):
    first, second = _roots(captured)
    assert not [span.name for span in captured.spans if span.status.status_code is StatusCode.ERROR]
    assert first.attributes["output.value"] == "Shall I?"
    (event,) = [event for event in first.events if event.name == "interrupt"]
    assert event.attributes["lucidic.event.interrupt"] == "Shall I?"
    assert event.attributes["langgraph.checkpoint_id"]
    assert [link.context.span_id for link in second.links] == [first.context.span_id]
    assert second.attributes["input.value"] == "yes"
    assert {session_id_of(span) for span in captured.spans} == {"t-1"}


def test_interrupt_and_resume(config, captured):
    """The interrupt and its checkpoint stand on the first root; the second root links to it."""
    graph = _asking()
    graph.invoke({"answer": ""}, config)
    graph.invoke(Command(resume="yes"), config)
    _check(captured)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="langgraph's interrupt() needs Python 3.11 in tasks")
async def test_asynchronous_interrupt_and_resume(config, captured):
    """The same in asynchronous code."""
    graph = _asking()
    await graph.ainvoke({"answer": ""}, config)
    await graph.ainvoke(Command(resume="yes"), config)
    _check(captured)


def test_static_breakpoint(captured):
    """A graph that stops before a node is linked from the run that goes on with it."""
    config = {"configurable": {"thread_id": "t-1"}, "callbacks": [LucidicHandler()]}
    graph = StateGraph(State).add_node("go", lambda _: {"answer": "gone"}).add_edge(START, "go")
    compiled = graph.compile(InMemorySaver(), interrupt_before=["go"], name="graph")
    compiled.invoke({"answer": ""}, config)
    compiled.invoke(None, config)
    first, second = _roots(captured)
    assert [link.context.span_id for link in second.links] == [first.context.span_id]
    (event,) = first.events
    assert (event.name, "lucidic.event.interrupt" in event.attributes) == ("interrupt", False)
    assert first.attributes["output.value"] == '{"answer": ""}'  # nothing is asked: the state


def test_other_threads_are_not_linked(captured):
    """A run on another thread, and a new turn on the same thread, link nothing."""
    graph, handler = _asking(), LucidicHandler()
    for thread in ("t-1", "t-2"):
        graph.invoke({"answer": ""}, {"configurable": {"thread_id": thread}, "callbacks": [handler]})
    graph.invoke({"answer": ""}, {"configurable": {"thread_id": "t-1"}, "callbacks": [handler]})
    assert [list(root.links) for root in _roots(captured)] == [[], [], []]


def test_what_is_remembered_is_bounded(captured):
    """Interrupted threads that nobody resumes are forgotten, the oldest first."""
    runs = Runs()
    context = object()
    for number in range(10_001):
        runs.interrupted(str(number), None, context)
    assert runs.resumed("0", None) is None
    assert runs.resumed("10000", None) is context


def test_hand_over(captured):
    """A node that hands over to the parent graph, and a goto, are no errors."""
    config = {"callbacks": [LucidicHandler()]}

    def leave(state):
        return Command(graph=Command.PARENT, goto="after", update={"answer": "over"})

    inner = StateGraph(State).add_node("leave", leave).add_edge(START, "leave").compile(name="inner")
    outer = StateGraph(State).add_node("inner", inner).add_node("after", lambda _: {"answer": "done"})
    outer.add_edge(START, "inner")
    assert outer.compile(name="graph").invoke({"answer": ""}, config)["answer"] == "done"
    assert not [span.name for span in captured.spans if span.status.status_code is StatusCode.ERROR]
