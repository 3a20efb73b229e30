"""Both ways to install give the same spans, once, and both can be undone."""

from __future__ import annotations

import copy
import logging
import threading

import pytest
from langchain_core.callbacks import AsyncCallbackManager, BaseCallbackHandler, CallbackManager
from langchain_core.callbacks.manager import atrace_as_chain_group, trace_as_chain_group
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableLambda

import lucidic as lai
from lucidic.errors import ConfigurationError, InvalidSessionIDError
from lucidic.langchain import LucidicHandler, instrument
from lucidic.testing import capture_spans, session_id_of
from lucidic_adapters.langchain import _bridge


@pytest.fixture
def everywhere(captured):
    """Everything of the process is traced."""
    undo = instrument()
    yield
    undo()


def test_the_same_spans(lc, everywhere, tree, captured):
    """The global handler, the explicit one and both together give the same tree."""
    chain = RunnableLambda(lambda x: x, name="f") | lc.chat()

    def shape():
        found = sorted(
            (span.name, tree.parent(span) and tree.parent(span).name or "") for span in captured.spans
        )
        captured.clear()
        return found

    chain.invoke("x")
    globally = shape()
    chain.invoke("x", {"callbacks": [LucidicHandler()]})
    assert shape() == globally
    chain.invoke("x", {"callbacks": [LucidicHandler(), LucidicHandler()]})
    assert shape() == globally
    assert len(globally) == 4


def test_two_handlers(lc, captured):
    """Two handlers on one call make one span of a run: the first one's."""
    handlers = [LucidicHandler(session_id="first"), LucidicHandler(session_id="second")]
    (RunnableLambda(lambda x: x) | lc.chat()).invoke("x", {"callbacks": handlers})
    assert len(captured.spans) == 4
    assert {session_id_of(span) for span in captured.spans} == {"first"}


def test_undo(lc, captured):
    """After the undo nothing is traced; instrumenting again works."""
    with lai.instrument("langchain"):
        lc.chat().invoke("x")
    lc.chat().invoke("x")
    assert len([span for span in captured.spans if lc.kind(span) == "LLM"]) == 1
    with lai.instrument("langchain", session_id="s-1"):
        lc.chat().invoke("x")
    assert session_id_of(captured.spans[-1]) == "s-1"


def test_threads(lc, everywhere, captured):
    """A thread that copies no context is traced too."""
    thread = threading.Thread(target=lambda: lc.chat().invoke("x"))
    thread.start()
    thread.join()
    assert len([span for span in captured.spans if lc.kind(span) == "LLM"]) == 1


def test_chain_group(lc, everywhere, tree):
    """A chain group is a span with its runs below, though it gets no callbacks."""
    with trace_as_chain_group("group") as manager:
        lc.chat().invoke("x", {"callbacks": manager})
    assert tree.names_above("Chat") == ["group"]


async def test_asynchronous_chain_group(lc, everywhere, tree):
    """The same in asynchronous code."""
    async with atrace_as_chain_group("group") as manager:
        await lc.chat().ainvoke("x", {"callbacks": manager})
    assert tree.names_above("Chat") == ["group"]


def test_chain_group_with_its_own_manager(lc, handler, tree):
    """A group with a manager of its own, which LangChain drops, is a span of the handler in it."""
    with trace_as_chain_group("group", CallbackManager([handler])) as manager:
        lc.chat().invoke("x", {"callbacks": manager})
    assert tree.names_above("Chat") == ["group"]
    assert len(tree.of_kind("LLM")) == 1


async def test_asynchronous_chain_group_with_its_own_manager(lc, handler, tree):
    """The same in asynchronous code; other handlers are dropped as LangChain drops them."""
    heard = []

    class Other(BaseCallbackHandler):
        def on_chain_start(self, *args, **kwargs):
            heard.append(args)

    async with atrace_as_chain_group("group", AsyncCallbackManager([Other(), handler])) as manager:
        await lc.chat().ainvoke("x", {"callbacks": manager})
    assert tree.names_above("Chat") == ["group"]
    assert heard == []


def test_options():
    """Wrong options are refused where the handler is made."""
    with pytest.raises(InvalidSessionIDError):
        LucidicHandler(session_id="")
    with pytest.raises(ConfigurationError):
        LucidicHandler(session_from="nothing")


def test_copies(captured):
    """Copying a config with a handler inside keeps the handler."""
    handler = LucidicHandler()
    assert copy.copy(handler) is handler
    assert copy.deepcopy({"callbacks": [handler]})["callbacks"][0] is handler


def test_the_bridge_is_undone(captured):
    """The bridge is installed once, and its removal leaves LangChain's own functions."""
    LucidicHandler()
    ours = BaseChatModel.stream
    LucidicHandler()
    assert BaseChatModel.stream is ours
    _bridge.uninstall()
    assert BaseChatModel.stream is ours.__wrapped__
    assert not hasattr(BaseChatModel.stream, "__wrapped__")
    _bridge.install()


@pytest.mark.parametrize(
    "place", [(target, name) for target, name, _, required in _bridge._PLACES if required]
)
def test_what_moves_is_passed_over(lc, caplog, place):
    """A place of the bridge that has moved costs one warning; the tree of runs stays whole."""
    moved = tuple(
        (target, f"{name}_moved" if (target, name) == place else name, wrap, required)
        for target, name, wrap, required in _bridge._PLACES
    )
    _bridge.uninstall()
    with (
        pytest.MonkeyPatch.context() as patch,
        capture_spans() as captured,
        caplog.at_level(logging.WARNING, "lucidic"),
    ):
        patch.setattr(_bridge, "_PLACES", moved)
        handlers = [LucidicHandler(), LucidicHandler()]
        (RunnableLambda(lambda x: x) | lc.chat()).invoke("x", {"callbacks": handlers})
        ours = [span for span in captured.spans if lc.kind(span)]
    _bridge.uninstall()
    assert len([record for record in caplog.records if "is not where it was" in record.message]) == 1
    (root,) = [span for span in ours if span.parent is None]
    assert {span.parent.span_id for span in ours if span is not root} == {root.context.span_id}
    assert len(ours) == 3


@pytest.fixture(autouse=True)
def _bridge_stays():
    yield
    _bridge.install()
