"""A realistic session of three turns, and a store in memory that gives it back."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field, replace

import pytest
from tests.view.browser import address as address
from tests.view.browser import browser as browser
from tests.view.browser import page as page

from lucidic._records import SpanEvent, StoredSession, StoredSpan, StoredTrace
from lucidic._view._tree import turns


START_NS = 1_790_000_000_000_000_000
"""2026-09-21T14:13:20Z."""
MS = 1_000_000


@dataclass
class Spans:
    """Makes spans of one session with counted ids; times are milliseconds after ``START_NS``."""

    session_id: str = "thread-42"
    made: list[StoredSpan] = field(default_factory=list)
    counter: itertools.count = field(default_factory=lambda: itertools.count(1))

    def add(
        self,
        name,
        kind,
        start,
        end,
        *,
        parent=None,
        trace=1,
        error=None,
        attributes=None,
        events=(),
        has_input=None,
        output=None,
    ) -> StoredSpan:
        said = {"session.id": self.session_id, **(attributes or {})}
        if kind:
            said["openinference.span.kind"] = kind
        for key, value in (("input.value", has_input), ("output.value", output)):
            if value is not None:
                said[key] = value
        if error:
            kinds, message = error
            stack = (
                f'Traceback (most recent call last):\n  File "app.py", line 7, in tool\n{kinds}: {message}'
            )
            raised = {"exception.type": kinds, "exception.message": message, "exception.stacktrace": stack}
            events = (*events, SpanEvent(name="exception", time_ns=START_NS + end * MS, attributes=raised))
        span = StoredSpan(
            trace_id=f"{trace:032x}",
            span_id=f"{next(self.counter):016x}",
            parent_span_id=parent.span_id if parent else None,
            name=name,
            kind="INTERNAL",
            status="ERROR" if error else "OK",
            status_message=error[1] if error else "",
            start_ns=START_NS + start * MS,
            end_ns=START_NS + end * MS,
            session_id=self.session_id,
            attributes=said,
            events=tuple(events),
        )
        self.made.append(span)
        return span

    def model(self, start, end, *, asked, says="", calls=(), tokens=(120, 31, 0, 0), **more) -> StoredSpan:
        prompt, completion, cached, reasoning = tokens
        attributes = {
            "llm.model_name": "gpt-4o-mini",
            "llm.token_count.prompt": prompt,
            "llm.token_count.completion": completion,
            "llm.token_count.total": prompt + completion,
            "llm.input_messages.0.message.role": "system",
            "llm.input_messages.0.message.content": "You are a travel agent.",
            "llm.input_messages.1.message.role": "user",
            "llm.input_messages.1.message.content": asked,
            "llm.output_messages.0.message.role": "assistant",
        }
        if cached:
            attributes["llm.token_count.prompt_details.cache_read"] = cached
        if reasoning:
            attributes["llm.token_count.completion_details.reasoning"] = reasoning
        if says:
            attributes["llm.output_messages.0.message.content"] = says
        for index, (name, arguments) in enumerate(calls):
            start_of = f"llm.output_messages.0.message.tool_calls.{index}.tool_call"
            attributes[f"{start_of}.id"] = f"call_{index}"
            attributes[f"{start_of}.function.name"] = name
            attributes[f"{start_of}.function.arguments"] = json.dumps(arguments, ensure_ascii=False)
        return self.add("ChatOpenAI", "LLM", start, end, attributes=attributes, **more)

    def tool(self, name, start, end, *, arguments, **more) -> StoredSpan:
        given = json.dumps(arguments, ensure_ascii=False)
        return self.add(name, "TOOL", start, end, attributes={"tool.name": name}, has_input=given, **more)

    def session(self, **changes) -> StoredSession:
        models = [span for span in self.made if span.attributes.get("openinference.span.kind") == "LLM"]
        prompt = sum(span.attributes["llm.token_count.prompt"] for span in models)
        completion = sum(span.attributes["llm.token_count.completion"] for span in models)
        known = StoredSession(
            session_id=self.session_id,
            name="Trip planning",
            state="finished",
            source="langchain.metadata.thread_id",
            owner="laptop:4711",
            started_ns=START_NS,
            ended_ns=START_NS + 133_000 * MS,
            fields={"user_id": "user-7", "tags": ["beta", "travel"]},
            traces=len({span.trace_id for span in self.made}),
            spans=len(self.made),
            errors=sum(span.status == "ERROR" for span in self.made),
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=prompt + completion,
        )
        return replace(known, **changes)


@dataclass
class FakeReader:
    """The store's reading half over lists; filters as the store does."""

    known: list[StoredSession] = field(default_factory=list)
    kept: list[StoredSpan] = field(default_factory=list)
    arriving: list[list[StoredSpan]] = field(default_factory=list)

    def catch_up(self) -> None:
        if self.arriving:
            self.kept.extend(self.arriving.pop(0))

    def close(self) -> None:
        """A list needs no closing."""

    def sessions(
        self,
        *,
        name=None,
        state=None,
        since_ns=None,
        until_ns=None,
        user_id=None,
        tag=None,
        limit=None,
        offset=0,
    ):
        found = [
            known
            for known in self.known
            if (name is None or known.name == name)
            and (state is None or known.state == state)
            and (since_ns is None or known.started_ns >= since_ns)
            and (until_ns is None or known.started_ns < until_ns)
            and (user_id is None or known.fields.get("user_id") == user_id)
            and (tag is None or tag in known.fields.get("tags", []))
        ]
        found.sort(key=lambda known: known.started_ns, reverse=True)
        return found[offset : None if limit is None else offset + limit]

    def count_sessions(self, **filters):
        return len(self.sessions(**filters))

    def traces(self, session_id):
        kept = turns(span for span in self.kept if span.session_id == session_id)
        return [
            StoredTrace(
                trace_id=turn.trace_id,
                spans=len(turn.spans),
                errors=turn.errors,
                total_tokens=turn.tokens.total,
                start_ns=turn.start_ns,
                end_ns=turn.end_ns,
            )
            for turn in kept
        ]

    def session(self, session_id):
        return next((known for known in self.known if known.session_id == session_id), None)

    def spans(self, session_id=None, *, trace_id=None, since_ns=None, unattributed=False):
        return [
            span
            for span in self.kept
            if (session_id is None or span.session_id == session_id)
            and (trace_id is None or span.trace_id == trace_id)
            and (since_ns is None or span.start_ns >= since_ns)
            and (not unattributed or span.session_id is None)
        ]


def first_turn(spans: Spans) -> None:
    """A LangGraph agent with two tool calls, one streamed answer and the framework's own steps."""
    question, answer = (
        "What is the weather in Paris and Zürich? 🌦️",
        "Paris: 21 °C and sunny.\nZürich: 14 °C, rain.",
    )
    root = spans.add("travel", "AGENT", 0, 931, has_input=question, output=answer)
    node = spans.add("model", "CHAIN", 2, 318, parent=root)
    spans.add("prompt", "CHAIN", 3, 4, parent=node)
    calls = [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Zürich", "unit": "C"})]
    spans.model(5, 315, asked=question, calls=calls, tokens=(120, 31, 64, 12), parent=node)
    tools = spans.add("tools", "CHAIN", 320, 505, parent=root)
    spans.tool("get_weather", 321, 326, arguments=calls[0][1], output="21 °C, sunny", parent=tools)
    spans.tool(
        "get_weather", 321, 504, arguments=calls[1][1], output='{"temp": 14, "sky": "rain"}', parent=tools
    )
    node = spans.add("model", "CHAIN", 506, 930, parent=root)
    arrived = SpanEvent(name="First Token Stream Event", time_ns=START_NS + 640 * MS)
    spans.model(510, 928, asked=question, says=answer, tokens=(180, 22, 0, 0), parent=node, events=[arrived])
    spans.add("should_continue", "CHAIN", 929, 930, parent=root)


def second_turn(spans: Spans) -> None:
    """A tool that fails, and takes the agent with it."""
    error = ("app.errors.BookingError", "no seats left on [bold]LX 632[/bold]")
    question = "Book the 9:40 flight."
    root = spans.add("travel", "AGENT", 60_000, 61_210, trace=2, has_input=question, error=error)
    spans.model(60_004, 60_400, asked=question, calls=[("book", {"flight": "LX 632"})], parent=root, trace=2)
    tools = spans.add("tools", "CHAIN", 60_410, 61_205, parent=root, trace=2, error=error)
    spans.tool("book", 60_411, 61_204, arguments={"flight": "LX 632"}, parent=tools, trace=2, error=error)


def third_turn(spans: Spans) -> None:
    """Retrieval, a graph's own nodes, a nested agent, a foreign HTTP span, huge and hostile content."""
    question = "And a hotel? \x1b[31mred\x1b[0m [link=https://evil.example]click[/link]"
    huge = "I found three hotels near the lake. " * 400
    root = spans.add("LangGraph", "CHAIN", 120_000, 133_000, trace=3, has_input=question, output=huge)
    retrieve = spans.add("retrieve", "CHAIN", 120_001, 120_090, parent=root, trace=3)
    documents = {
        "retrieval.documents.0.document.id": "h-1",
        "retrieval.documents.0.document.content": "Hotel du Lac, 120 rooms",
        "retrieval.documents.0.document.score": 0.92,
        "retrieval.documents.1.document.content": "Pension Edelweiss",
    }
    query = "hotel near the lake"
    spans.add(
        "Hotels",
        "RETRIEVER",
        120_002,
        120_089,
        has_input=query,
        attributes=documents,
        parent=retrieve,
        trace=3,
    )
    write = spans.add("write", "CHAIN", 120_100, 132_900, parent=root, trace=3)
    agent = spans.add(
        "concierge", "AGENT", 120_101, 132_890, has_input=query, output=huge, parent=write, trace=3
    )
    model = spans.model(
        120_110, 132_880, asked=query, says=huge, tokens=(2_104, 1_310, 2_048, 0), parent=agent, trace=3
    )
    spans.add("POST /v1/chat/completions", None, 120_120, 132_870, parent=model, trace=3)


def whole_session() -> Spans:
    spans = Spans()
    for turn in (first_turn, second_turn, third_turn):
        turn(spans)
    return spans


@pytest.fixture
def spans() -> Spans:
    """An empty maker of spans."""
    return Spans()


@pytest.fixture
def trip() -> Spans:
    """The spans of the session of three turns."""
    return whole_session()


@pytest.fixture
def reader(trip) -> FakeReader:
    """A store that holds the session of three turns."""
    return FakeReader([trip.session()], list(trip.made))


@pytest.fixture
def empty() -> FakeReader:
    """A store that holds nothing."""
    return FakeReader()


@pytest.fixture(autouse=True)
def _utc(monkeypatch):
    """Local time is UTC, and the terminal has no say."""
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    yield
    monkeypatch.undo()
    time.tzset()
