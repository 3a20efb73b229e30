"""Agents of PydanticAI, traced into memory."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path

import pytest


pytest.importorskip("pydantic_ai", reason="PydanticAI is not installed")

import pydantic_ai
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel

import lucidic as lai


KNOWS_CONVERSATIONS = "conversation_id" in inspect.signature(Agent.iter).parameters
"""From 1.88 on, runs take ``conversation_id=``."""
VERSION = tuple(int(part) for part in pydantic_ai.__version__.split(".")[:2])


def pytest_collection_modifyitems(items):
    """Overlook the loops and sockets that early releases leave to the garbage collector."""
    if VERSION < (2, 0):
        for item in items:
            if item.path.parent == Path(__file__).parent:
                item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture(autouse=True)
def _loop_of_run_sync(request):
    """Give ``run_sync`` a loop and close it: PydanticAI leaves the one it makes open."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        yield
        return
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.close()
    asyncio.set_event_loop(None)


@pytest.fixture
def traced(captured):
    """What is traced in this process while ``instrument("pydantic_ai")`` holds."""
    with lai.instrument("pydantic_ai"):
        yield captured


def script(*answers):
    """Make a model that gives these answers in turn: a text, a response, or an error to raise."""
    rest = iter(answers)

    def answer(messages, info):
        found = next(rest)
        if isinstance(found, BaseException):
            raise found
        if isinstance(found, str):
            return ModelResponse(parts=[TextPart(found)])
        return ModelResponse(parts=list(found)) if isinstance(found, (list, tuple)) else found

    return FunctionModel(answer, model_name="scripted")


def call(name, call_id="call-1", /, **arguments):
    """Make a tool call."""
    return ToolCallPart(name, arguments, tool_call_id=call_id)


@pytest.fixture(name="script")
def _script():
    return script


@pytest.fixture(name="call")
def _call():
    return call


def streaming(*words, error=None):
    """Make a model that streams these words, then fails if asked to."""

    async def answer(messages, info):
        for word in words:
            yield word
        if error is not None:
            raise error

    return FunctionModel(stream_function=answer, model_name="streaming")


@pytest.fixture(name="streaming")
def _streaming():
    return streaming


def attributes(captured, name):
    """Return the attributes of the one span of that name."""
    return dict(captured.named(name).attributes)


@pytest.fixture
def attributes_of(captured):
    """Return the attributes of a span by its name."""
    return lambda name: attributes(captured, name)


@pytest.fixture
def sessions(captured):
    """Return the sessions of all spans so far, each once."""
    return lambda: {span.attributes.get("session.id") for span in captured.spans}


@pytest.fixture
def run_with_conversation():
    """Skip where PydanticAI has no conversations yet."""
    if not KNOWS_CONVERSATIONS:
        pytest.skip(f"pydantic-ai {pydantic_ai.__version__} has no conversation_id (1.88 and later)")


@pytest.fixture
def instrumented_by():
    """Return how an agent is given an instrumentation: as a capability, before 1.95 as ``instrument=``."""
    return lambda ours: {"capabilities": [ours]} if VERSION >= (1, 95) else {"instrument": ours}


@pytest.fixture
def version():
    """The release of PydanticAI, as (major, minor)."""
    return VERSION
