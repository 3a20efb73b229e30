"""What goes wrong around a run, in our code, at the exit or in the caller's, costs the caller nothing."""

from __future__ import annotations

import logging
from uuid import uuid4

import pytest
from langchain_core.callbacks import dispatch_custom_event
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import BaseTool

import lucidic as lai
from lucidic import _guard
from lucidic_adapters.langchain import (
    _agents,
    _control,
    _describe,
    _events,
    _handler,
    _io,
    _models,
    _runs,
    _tools,
)


ANSWER = LLMResult(generations=[[ChatGeneration(message=AIMessage("a"))]])
RUNS_OF_EVERY_KIND = {
    "on_chain_start": ((None, {"a": 1}), "on_chain_end", ({"b": 1},), "on_chain_error"),
    "on_chat_model_start": (({"name": "m"}, [[HumanMessage("x")]]), "on_llm_end", (ANSWER,), "on_llm_error"),
    "on_llm_start": (({"name": "m"}, ["x"]), "on_llm_end", (ANSWER,), "on_llm_error"),
    "on_tool_start": (({"name": "t"}, "x"), "on_tool_end", ("found",), "on_tool_error"),
    "on_retriever_start": ((None, "x"), "on_retriever_end", ([Document("d")],), "on_retriever_error"),
}


@pytest.mark.parametrize("start", RUNS_OF_EVERY_KIND)
def test_a_shutdown_with_open_runs(handler, captured, caplog, start):
    """A shutdown exports an open run once, as incomplete; the callback that comes too late does nothing."""
    given, end, result, error = RUNS_OF_EVERY_KIND[start]
    runs = [uuid4(), uuid4()]
    for run in runs:
        getattr(handler, start)(*given, run_id=run)
    lai.flush()
    assert captured.spans == []  # a flush delivers what has ended
    lai.shutdown()
    with caplog.at_level(logging.WARNING):
        getattr(handler, end)(*result, run_id=runs[0])
        getattr(handler, error)(ValueError("late"), run_id=runs[1])
    assert [span.attributes["lucidic.incomplete"] for span in captured.spans] == [True, True]
    assert caplog.records == []


BROKEN = [
    (module, name)
    for module in (_agents, _control, _describe, _events, _handler, _io, _models, _tools)
    for name, value in vars(module).items()
    if callable(value)
    and getattr(value, "__module__", "").startswith(("lucidic_adapters.langchain", "lucidic._spans"))
    and not isinstance(value, type)
]
"""Every function by which the handler translates, wherever it is looked up."""


@pytest.mark.parametrize(("module", "name"), BROKEN, ids=[f"{m.__name__[29:]}.{n}" for m, n in BROKEN])
def test_a_defect_anywhere_in_the_translation(lc, config, captured, monkeypatch, module, name):
    """A function of ours that raises never reaches the call, and every span that started ends."""

    def broken(*args, **kwargs):
        raise RuntimeError("ours")

    class Failing(BaseTool):
        name: str = "failing"
        description: str = "Fail."

        def _run(self):
            raise ValueError("theirs")

    def step(x):
        dispatch_custom_event("progress", {"done": 1})
        return x

    monkeypatch.setattr(_guard.state, "reraise", False)
    monkeypatch.setattr(module, name, broken)
    assert (RunnableLambda(step) | lc.chat("a")).invoke("x", config).content == "a"
    assert lc.Tool().invoke({"key": "k"}, config) == "found k"
    assert lc.Retriever().invoke("q", config)
    assert [chunk.content for chunk in lc.chat("a").stream("x", config)][0] == "a"
    with pytest.raises(ValueError, match="theirs"):
        Failing().invoke({}, config)
    monkeypatch.undo()
    started = {span.get_span_context().span_id for span in captured.started}
    assert started == {span.get_span_context().span_id for span in captured.spans}
    assert len(_runs.RUNS) == 0
