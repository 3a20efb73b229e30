"""A small agent framework written on ``lucidic.adapterkit``: what any adapter does, without a framework.

Its runs know their parents by handle, as LangChain's do by run id; a cancelled model reports no end;
streams leave nothing current between their chunks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

from opentelemetry import context as otel_context

from lucidic.adapterkit import (
    STOPPED_EARLY,
    AdapterOptions,
    AdapterTracer,
    LiveSpan,
    framework_ids,
    io_attributes,
    make_tracer,
)

from .jobs import act, act_async, act_tool
from .workloads import Workload, user_span


class KitFramework(Workload):
    """An agent with a model and two parallel tools, whose callbacks make spans through the kit."""

    name = "kit"
    keys = ("session_id", "thread_id")

    def __init__(self, options: AdapterOptions | None = None) -> None:
        self._options = options or AdapterOptions()
        self._tracer: AdapterTracer | None = None

    @contextmanager
    def instrumented(self) -> Iterator[None]:
        self._tracer = make_tracer("kit", self._options)
        yield
        self._tracer = None

    def run(self, prompt: str, **named: str) -> None:
        agent = self._start_agent(prompt, named)
        try:
            self._model(agent, prompt)
            for index in range(2):
                self._tool(agent, index, prompt)
            self._model(agent, prompt)
        except BaseException as error:
            agent.end(error=error)
            raise
        agent.end()

    async def arun(self, prompt: str, **named: str) -> None:
        agent = self._start_agent(prompt, named)
        try:
            await self._amodel(agent, prompt)
            await asyncio.gather(*(self._atool(agent, index, prompt) for index in range(2)))
            await self._amodel(agent, prompt)
        except BaseException as error:
            agent.end(error=error)
            raise
        agent.end()

    def stream(self, prompt: str, **named: str) -> Iterator[str]:
        agent = self._start_agent(prompt, named)
        try:
            for index in range(4):
                self._model(agent, prompt)
                yield str(index)
                self._tool(agent, index, prompt)
        except BaseException as error:
            self._broken_off(agent, error)
            raise
        agent.end()

    async def astream(self, prompt: str, **named: str) -> AsyncIterator[str]:
        agent = self._start_agent(prompt, named)
        try:
            for index in range(4):
                await self._amodel(agent, prompt)
                yield str(index)
                await self._atool(agent, index, prompt)
        except BaseException as error:
            self._broken_off(agent, error)
            raise
        agent.end()

    def _start_agent(self, prompt: str, named: dict[str, str]) -> LiveSpan:
        return self._start("agent", "AGENT", None, prompt, named)

    def _start(
        self, name: str, kind: str, parent: LiveSpan | None, prompt: str, named: dict[str, str] | None = None
    ) -> LiveSpan:
        assert self._tracer is not None
        return self._tracer.start(
            name,
            kind,
            parent=parent,
            framework=framework_ids(named, "kit.metadata") if parent is None else (),
            attributes=io_attributes(input=prompt),
        )

    def _broken_off(self, agent: LiveSpan, error: BaseException) -> None:
        if isinstance(error, GeneratorExit):
            agent.end(ok=False, attributes={STOPPED_EARLY: True})
        else:
            agent.end(error=error)

    def _model(self, agent: LiveSpan, prompt: str) -> None:
        model = self._start("model", "LLM", agent, prompt)
        try:
            act(prompt)
        except Exception as error:
            model.end(error=error)
            raise
        model.end()

    async def _amodel(self, agent: LiveSpan, prompt: str) -> None:
        model = self._start("model", "LLM", agent, prompt)
        try:
            await act_async(prompt)
        except Exception as error:  # a cancelled model reports nothing
            model.end(error=error)
            raise
        model.end()

    def _tool(self, agent: LiveSpan, index: int, prompt: str) -> None:
        tool = self._start(f"tool {index}", "TOOL", agent, prompt)
        try:
            copy_context().run(in_run, tool, lambda: self._use(prompt))
        except Exception as error:
            tool.end(error=error)
            raise
        tool.end()

    async def _atool(self, agent: LiveSpan, index: int, prompt: str) -> None:
        tool = self._start(f"tool {index}", "TOOL", agent, prompt)

        async def use() -> None:
            otel_context.attach(tool.context)
            await asyncio.sleep(0)
            self._use(prompt)

        try:
            await asyncio.create_task(use())
        except Exception as error:
            tool.end(error=error)
            raise
        tool.end()

    def _use(self, prompt: str) -> None:
        with user_span("query", prompt):
            act_tool(prompt)


def in_run(run: LiveSpan, function: Callable[[], Any]) -> Any:
    """Run user code below a run; the caller gives the context in which this may be attached."""
    otel_context.attach(run.context)
    return function()
