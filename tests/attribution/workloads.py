"""What a run does: a workload knows its framework, and nothing of sessions or of other runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

from opentelemetry import trace
from opentelemetry.trace import SpanKind

from .jobs import INNER, ScriptedError, act, act_async, act_tool


class Workload:
    """A program under test; agents and graphs are shared by all sessions, as in production."""

    name: ClassVar[str]
    keys: ClassVar[tuple[str, ...]] = ()
    """The framework's own ways of naming a session, each a key that the runs understand."""
    streams: ClassVar[frozenset[str]] = frozenset({"sync", "async"})
    """The kinds of streams it has."""
    orders: ClassVar[frozenset[str]] = frozenset({INNER})
    """The orders that only some workloads understand, and that this one does."""
    batches: ClassVar[bool] = False
    """It runs several inputs in one call."""
    errors: ClassVar[tuple[type[Exception], ...]] = (ScriptedError,)
    """What a run raises when its model or tool is ordered to fail."""
    plain_stream: ClassVar[bool] = False
    """Its streams hold a span current across a yield, as only plain ``with`` blocks do."""

    def instrumented(self) -> AbstractContextManager[Any]:
        """Switch the adapter on for a cell."""
        return nullcontext()

    def run(self, prompt: str, **named: str) -> None:
        """Run once, in sync."""
        raise NotImplementedError

    async def arun(self, prompt: str, **named: str) -> None:
        """Run once, in async."""
        raise NotImplementedError

    def stream(self, prompt: str, **named: str) -> Iterator[Any]:
        """Run once and yield at least three chunks."""
        raise NotImplementedError

    def astream(self, prompt: str, **named: str) -> AsyncIterator[Any]:
        """Run once and yield at least three chunks, in async."""
        raise NotImplementedError

    def aevents(self, prompt: str, **named: str) -> AsyncIterator[Any]:
        """Run once and yield the framework's own events or steps."""
        raise NotImplementedError

    def batch(self, prompts: list[str], named: list[dict[str, str]]) -> None:
        """Run once for each prompt, in one call."""
        raise NotImplementedError

    async def abatch(self, prompts: list[str], named: list[dict[str, str]]) -> None:
        """Run once for each prompt, in one call, in async."""
        raise NotImplementedError


def user_span(name: str, text: str) -> AbstractContextManager[trace.Span]:
    """Make a span as a user's own code or an HTTP client would, the text in an attribute."""
    return trace.get_tracer("user").start_as_current_span(name, attributes={"input": text})


class PlainSpans(Workload):
    """Plain OpenTelemetry spans: nested, parallel, and one that ends later, like an HTTP client's."""

    name = "plain"
    plain_stream = True

    def run(self, prompt: str, **named: str) -> None:
        with user_span("run", prompt):
            client = self._client(prompt)
            try:
                with user_span("model", prompt):
                    act(prompt)
                for index in range(2):
                    self._tool(index, prompt)
            finally:
                client.end()

    async def arun(self, prompt: str, **named: str) -> None:
        with user_span("run", prompt):
            client = self._client(prompt)
            try:
                with user_span("model", prompt):
                    await act_async(prompt)
                await asyncio.gather(*(self._atool(index, prompt) for index in range(2)))
            finally:
                client.end()

    def stream(self, prompt: str, **named: str) -> Iterator[str]:
        with user_span("run", prompt):
            for index in range(4):
                with user_span("model", prompt):
                    act(prompt)
                yield str(index)

    async def astream(self, prompt: str, **named: str) -> AsyncIterator[str]:
        with user_span("run", prompt):
            for index in range(4):
                with user_span("model", prompt):
                    await act_async(prompt)
                yield str(index)

    def _client(self, prompt: str) -> trace.Span:
        return trace.get_tracer("user").start_span(
            "client", kind=SpanKind.CLIENT, attributes={"input": prompt}
        )

    def _tool(self, index: int, prompt: str) -> None:
        with user_span(f"tool {index}", prompt), user_span("query", prompt):
            act_tool(prompt)

    async def _atool(self, index: int, prompt: str) -> None:
        with user_span(f"tool {index}", prompt):
            await asyncio.sleep(0)
            with user_span("query", prompt):
                act_tool(prompt)
