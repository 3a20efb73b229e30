"""The wrappers of the bridge: around calls of models, tools and retrievers, and each step of streams."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any
from uuid import UUID, uuid4

from opentelemetry import context as otel_context

from lucidic.adapterkit import beneath
from lucidic_adapters.langchain._agents import is_agent
from lucidic_adapters.langchain._bridge_cell import Cell, Configurable, cell_here, restore, told_here
from lucidic_adapters.langchain._bridge_late import late
from lucidic_adapters.langchain._bridge_streams import AsyncSteps, StreamFunction, SyncSteps
from lucidic_adapters.langchain._runs import RUNS, Run
from lucidic_adapters.langchain._sessions import carrying, configurable_of, configurables_of
from lucidic_adapters.langchain._streamed import Streamed, StreamedGraph


try:
    from langchain_core.utils.uuid import uuid7
except ImportError:  # langchain-core before 1.2
    uuid7 = uuid4  # type: ignore[assignment]


def _run_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Run | None:
    """Find the run manager among the arguments of a call, and its open run."""
    manager = kwargs.get("run_manager")
    if manager is None:
        managers = kwargs.get("run_managers") or next(
            (item for item in args if isinstance(item, list) and _managers(item)), None
        )
        manager = (
            managers[0]
            if managers
            else next((item for item in args if hasattr(item, "on_llm_new_token")), None)
        )
    return RUNS.get(getattr(manager, "run_id", None))


def _managers(items: list[Any]) -> bool:
    return bool(items) and hasattr(items[0], "on_llm_new_token")


def sync_call_of_manager(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a call that gets its run manager as an argument."""

    @wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = _run_of(args, kwargs)
        if run is None:
            return original(self, *args, **kwargs)
        outer = otel_context.get_current()
        otel_context.attach(beneath(run.context))
        try:
            return original(self, *args, **kwargs)
        finally:
            restore(outer)

    return call


def async_call_of_manager(original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    """Wrap a coroutine that gets its run manager as an argument."""

    @wraps(original)
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = _run_of(args, kwargs)
        if run is None:
            return await original(self, *args, **kwargs)
        outer = otel_context.get_current()
        otel_context.attach(beneath(run.context))
        try:
            return await original(self, *args, **kwargs)
        finally:
            restore(outer)

    return call


def sync_events(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the producer of a stream of events, which gets its run manager as an argument."""

    @wraps(original)
    def events(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = _run_of(args, kwargs)
        steps = original(self, *args, **kwargs)
        return steps if run is None else SyncSteps(steps, _cell_with(run), last_owner=True)

    return events


def async_events(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the producer of an asynchronous stream of events."""

    @wraps(original)
    def events(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = _run_of(args, kwargs)
        steps = original(self, *args, **kwargs)
        return steps if run is None else AsyncSteps(steps, _cell_with(run), last_owner=True)

    return events


def _cell_with(run: Run) -> Cell:
    cell = Cell(run.kind)
    cell.runs.append(run)
    return cell


def sync_stream(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a model's ``stream``."""
    return StreamFunction(
        original, lambda steps, args, kwargs: late(SyncSteps(steps, _model_cell(args, kwargs)))
    )


def async_stream(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a model's ``astream``."""
    return StreamFunction(
        original, lambda steps, args, kwargs: late(AsyncSteps(steps, _model_cell(args, kwargs)))
    )


def _model_cell(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Cell:
    return Cell("LLM", enters=True, configurable=configurable_of(args[1:], kwargs))


def chain_stream(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap what makes a chain's stream, which may be begun after the block in which it was made, and left early."""
    return StreamFunction(original, lambda steps, args, kwargs: late(steps, Cell("", streamed=Streamed())))


def graph_stream(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a graph's stream, by which it is invoked too: an agent's graph says that its run is an agent's."""

    def wrap(steps: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        return late(steps, Cell("AGENT" if is_agent(args[0]) else "", streamed=StreamedGraph()))

    return StreamFunction(original, wrap)


def event_stream(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap what makes a stream of events, which reads the stream of the run that the events are about."""

    def wrap(steps: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        return late(steps, Cell("", streamed=Streamed()), notes=False)

    return StreamFunction(original, wrap)


def sync_guard(kind: str, *, enters: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a wrapper that ends the runs of ``kind`` that a failed call leaves open."""

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            outer, before = otel_context.get_current(), cell_here.get()
            told = configurable_of(args, kwargs) or told_here()
            cell = Cell(kind, enters=enters, single=kind != "LLM", configurable=told, subject=self)
            cell_here.set(cell)
            try:
                return original(self, *args, **kwargs)
            except BaseException as error:
                cell.abandon(error)
                raise
            finally:
                cell_here.set(before)
                if enters:
                    restore(outer)

        return call

    return wrap


def async_guard(kind: str, *, enters: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a wrapper of a coroutine that ends the runs of ``kind`` that a failed call leaves open."""

    def wrap(original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        @wraps(original)
        async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            outer, before = otel_context.get_current(), cell_here.get()
            told = configurable_of(args, kwargs) or told_here()
            cell = Cell(kind, enters=enters, single=kind != "LLM", configurable=told, subject=self)
            cell_here.set(cell)
            try:
                return await original(self, *args, **kwargs)
            except BaseException as error:
                cell.abandon(error)
                raise
            finally:
                cell_here.set(before)
                if enters:
                    restore(outer)

        return call

    return wrap


def sync_model(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the call of a model, whose callbacks are configured further inside, from parts of the config."""

    @wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        configurable = configurables_of(args, kwargs)
        if not configurable:
            return original(self, *args, **kwargs)
        before = cell_here.get()
        cell_here.set(Cell("LLM", configurable=configurable))
        try:
            found = original(self, *args, **kwargs)
        finally:
            cell_here.set(before)
        return _told(found, configurable) if inspect.iscoroutine(found) else found

    return call


def async_model(original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    """Wrap the asynchronous call of a model."""

    @wraps(original)
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await _told(original(self, *args, **kwargs), configurables_of(args, kwargs))

    return call


async def _told(call: Awaitable[Any], configurable: Configurable) -> Any:
    if not configurable:
        return await call
    before = cell_here.get()
    cell_here.set(Cell("LLM", configurable=configurable))
    try:
        return await call
    finally:
        cell_here.set(before)


def sync_carrier(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a call that keeps ``configurable`` from the callbacks of its run."""

    @wraps(original)
    def call(self: Any, given: Any, config: Any = None, **kwargs: Any) -> Any:
        return original(self, given, carrying(config), **kwargs)

    return call


def async_carrier(original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    """Wrap a coroutine that keeps ``configurable`` from the callbacks of its run."""

    @wraps(original)
    async def call(self: Any, given: Any, config: Any = None, **kwargs: Any) -> Any:
        return await original(self, given, carrying(config), **kwargs)

    return call


def chain_start(original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    """Wrap the asynchronous start of a chain: a cancellation during other handlers leaves nothing open."""

    @wraps(original)
    async def on_chain_start(
        self: Any, serialized: Any, inputs: Any, run_id: UUID | None = None, **kwargs: Any
    ) -> Any:
        known = run_id or uuid7()
        try:
            return await original(self, serialized, inputs, run_id=known, **kwargs)
        except BaseException as error:
            run = RUNS.get(known)
            if run is not None:
                RUNS.fail(run, error)
            raise

    return on_chain_start


def text_start(original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    """Wrap the asynchronous start of a text model, which silences the handlers that are not inline.

    (langchain-core 1.x: with one inline handler, ``on_llm_start`` calls only inline ones.) Both
    kinds are called on their own, which is right with the defect and without it.
    """

    @wraps(original)
    async def on_llm_start(
        self: Any, serialized: Any, prompts: list[str], run_id: UUID | None = None, **kwargs: Any
    ) -> Any:
        inline = [handler for handler in self.handlers if handler.run_inline]
        others = [handler for handler in self.handlers if not handler.run_inline]
        if not inline or not others:
            return await original(self, serialized, prompts, run_id, **kwargs)
        managers = []
        for position, prompt in enumerate(prompts):
            known = run_id if run_id is not None and position == 0 else uuid7()
            for group in (inline, others):
                part = copy.copy(self)
                part.handlers = group
                (manager,) = await original(part, serialized, [prompt], known, **kwargs)
            manager.handlers = self.handlers
            managers.append(manager)
        return managers

    return on_llm_start
