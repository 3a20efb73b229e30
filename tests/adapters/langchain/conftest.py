"""Fakes of LangChain's parts that open a span of the user's inside, and a look at the tree that results."""

from __future__ import annotations

import asyncio
import gc
import sys
import warnings
from types import SimpleNamespace

import pytest
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel, FakeListLLM, GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool
from opentelemetry import trace

from lucidic.langchain import LucidicHandler
from lucidic_adapters.langchain._runs import RUNS


def user(name):
    """Open and close a span as user code does."""
    with trace.get_tracer("user").start_as_current_span(name):
        pass


class Chat(GenericFakeChatModel):
    """A chat model whose code opens the span ``in-model`` at each step."""

    model_name: str = "gpt-4o"

    def _generate(self, *args, **kwargs):
        user("in-model")
        return super()._generate(*args, **kwargs)

    def _stream(self, *args, **kwargs):
        for chunk in super()._stream(*args, **kwargs):
            user("in-model")
            yield chunk

    def bind_tools(self, tools, **kwargs):
        return self.bind(tools=[{"type": "function", "function": {"name": tool.name}} for tool in tools])


class Stuck(Chat):
    """A chat model that waits for ever once it was reached."""

    reached: object = None

    async def _agenerate(self, *args, **kwargs):
        self.reached.set()
        await asyncio.Event().wait()


class Text(FakeListLLM):
    """A text model whose code opens the span ``in-model``."""

    def _call(self, *args, **kwargs):
        user("in-model")
        return super()._call(*args, **kwargs)

    async def _acall(self, *args, **kwargs):
        user("in-model")
        return await super()._acall(*args, **kwargs)


class Retriever(BaseRetriever):
    """A retriever whose code opens the span ``in-retriever``."""

    def _get_relevant_documents(self, query, *, run_manager):
        user("in-retriever")
        return [Document(id="d1", page_content=f"about {query}", metadata={"score": 0.5, "source": "s"})]


class Tool(BaseTool):
    """A tool whose code opens the span ``in-tool``."""

    name: str = "look"
    description: str = "Look something up."

    def _run(self, key: str = "k"):
        user("in-tool")
        return f"found {key}"


def chat(*answers, cls=Chat, **fields):
    """Return a chat model that gives these answers, the last one for ever."""

    def endless():
        given = [
            item if isinstance(item, AIMessage) else AIMessage(item) for item in answers or ("hello world",)
        ]
        yield from given
        while True:
            yield given[-1]

    return cls(messages=endless(), **fields)


def calling(*calls):
    """Return an answer that asks for tools: (name, arguments, id) each."""
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": id} for name, args, id in calls])


class Tree:
    """Who is below whom among captured spans, by name and by kind."""

    def __init__(self, captured):
        self.captured = captured

    @property
    def spans(self):
        return self.captured.spans

    def parent(self, span):
        ids = {other.context.span_id: other for other in self.spans}
        return None if span.parent is None else ids.get(span.parent.span_id)

    def parents_of(self, name):
        """Return the parents of the spans of that name, in the order of their starts."""
        found = sorted((span for span in self.spans if span.name == name), key=lambda span: span.start_time)
        return [self.parent(span) for span in found]

    def kinds_above(self, name):
        return [parent and kind(parent) for parent in self.parents_of(name)]

    def names_above(self, name):
        return [parent and parent.name for parent in self.parents_of(name)]

    def of_kind(self, wanted):
        return [span for span in self.spans if kind(span) == wanted]

    def traces(self):
        return {span.context.trace_id for span in self.spans}

    def one(self, wanted):
        (span,) = self.of_kind(wanted)
        return span


def kind(span):
    return span.attributes.get("openinference.span.kind")


def nothing_current():
    """Tell whether the caller's context is free of spans."""
    return trace.get_current_span() is trace.INVALID_SPAN


async def settled():
    """Let LangChain's own task end the run of a stream of events, which it does after the last event."""
    while len(RUNS):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True, scope="module")
def _cached_clients():
    """Let go of the clients that LangChain's packages keep for every address, and never close."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for name in ("langchain_openai.chat_models._client_utils", "langchain_anthropic._client_utils"):
            for held in vars(sys.modules[name]).values() if name in sys.modules else ():
                if callable(forget := getattr(held, "cache_clear", None)):
                    forget()
        gc.collect()


@pytest.fixture
def lc():
    """The fakes and helpers of this folder."""
    return SimpleNamespace(
        Chat=Chat, Stuck=Stuck, Text=Text, Retriever=Retriever, Tool=Tool, chat=chat, calling=calling, user=user,
        settled=settled, kind=kind, nothing_current=nothing_current, contexts_for_tasks=sys.version_info >= (3, 11),
    )  # fmt: skip


@pytest.fixture
def version_3():
    """Skip where ``stream_events`` has no version 3 yet."""
    if not hasattr(BaseChatModel, "_iter_v2_events"):
        pytest.skip("this langchain-core has no stream_events of version 3")


@pytest.fixture
def handler(captured):
    return LucidicHandler()


@pytest.fixture
def config(handler):
    return {"callbacks": [handler]}


@pytest.fixture
def tree(captured):
    return Tree(captured)


@pytest.fixture(autouse=True)
def _nothing_is_left(caplog):
    """Every test leaves no open run, no current span and no record of OpenTelemetry's context or of asyncio."""
    yield
    left = [run.live.span.name for run in RUNS]
    assert not left
    assert nothing_current()
    noisy = ("opentelemetry.context", "asyncio", "langchain_core.callbacks.manager")
    assert [record.getMessage() for record in caplog.records if record.name in noisy] == []
