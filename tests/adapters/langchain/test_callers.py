"""What the adapter leaves as it is: the objects and values that a program gets from LangChain."""

from __future__ import annotations

import copy
import pickle

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, MessagesState, StateGraph


def _graph(lc):
    def node(state):
        return {"messages": [lc.chat("a b c").invoke(state["messages"])]}

    async def anode(state):
        return {"messages": [await lc.chat("a b c").ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("node", RunnableLambda(node, anode))
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    return graph.compile()


@pytest.mark.filterwarnings("ignore:astream_:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*deprecated")
@pytest.mark.parametrize("how", ["events", "log"])
async def test_logs_of_a_graph(lc, config, how):
    """A log of a graph's runs, which copies what callbacks were told, comes to its end."""
    config = {**config, "configurable": {"thread_id": "t-1"}}
    asked = {"messages": [("user", "x")]}
    if how == "events":
        items = [item async for item in _graph(lc).astream_events(asked, config, version="v1")]
        assert items[-1]["event"] == "on_chain_end"
    else:
        items = [item async for item in _graph(lc).astream_log(asked, config)]
        assert items[-1].ops


class _Keeper(BaseCallbackHandler):
    """Keeps the metadata of what starts."""

    def __init__(self):
        self.kept = []

    def on_chain_start(self, *args, metadata=None, **kwargs):
        self.kept.append(metadata)


def test_metadata_that_others_keep(handler):
    """The metadata that other handlers are given can be copied and pickled, whatever ``configurable`` holds."""
    keeper = _Keeper()
    config = {"callbacks": [handler, keeper], "configurable": {"session_id": "s-1", "odd": lambda: None}}
    RunnableLambda(str).invoke(1, {**config, "metadata": {"k": 1}})
    (kept,) = keeper.kept
    assert copy.deepcopy(kept) == copy.copy(kept) == pickle.loads(pickle.dumps(kept)) == {**kept}
    assert kept["k"] == 1
