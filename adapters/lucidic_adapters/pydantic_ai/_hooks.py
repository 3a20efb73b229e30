"""Hooks in PydanticAI's public methods: they look, hand over what the spans need, and change nothing.

The SDK has no global registration of hooks (pydantic/pydantic-ai#4971), and its spans start before its
objects are in reach; so the methods through which every run and request goes are wrapped.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial, wraps
from types import TracebackType
from typing import Any, Final
from weakref import WeakKeyDictionary

from pydantic_ai import Agent
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.embeddings.instrumented import InstrumentedEmbeddingModel
from pydantic_ai.models.instrumented import InstrumentedModel
from typing_extensions import override

from lucidic import current_session_id
from lucidic.adapterkit import SessionScope, block_of_generator, guarded
from lucidic_adapters.pydantic_ai import _embeddings, _slots
from lucidic_adapters.pydantic_ai._both import ours_of
from lucidic_adapters.pydantic_ai._runs import (
    Request,
    Run,
    announce,
    current_run,
    enter,
    history_id,
    leave,
)
from lucidic_adapters.pydantic_ai._settings import LucidicSettings


try:
    from pydantic_ai.capabilities import Instrumentation
except ImportError:  # before 1.95 the SDK makes its spans in the model's wrapper and in the agent
    Instrumentation = None  # type: ignore[assignment,misc]

try:
    from pydantic_ai.agent import AgentRealtime
except ImportError:  # before 2.40 or so there are no realtime sessions
    AgentRealtime = None  # type: ignore[assignment,misc]

__all__ = ["Instrumentation", "install", "uninstall"]

_lock: Final = threading.RLock()
_originals: list[tuple[type, str, Any]] = []
_users = 0
_realtime_options: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


def install() -> None:
    """Put the hooks in place, once for all users of them."""
    global _users
    with _lock:
        _users += 1
        if _users > 1:
            return
        for owner in _slots.OWNERS:
            _wrap(owner, "instrument_all", partial(_instrument_all, owner))
        _wrap(Agent, "iter", _iter)
        _wrap(InstrumentedModel, "request", _request)
        _wrap(InstrumentedModel, "request_stream", _request)
        _wrap(InstrumentedEmbeddingModel, "embed", _embed)
        if AgentRealtime is not None:
            _wrap(AbstractAgent, "realtime", _realtime)
            _wrap(AgentRealtime, "session", _session)
        if Instrumentation is not None:
            _wrap(Instrumentation, "wrap_run", _wrap_run)
            _wrap(Instrumentation, "wrap_model_request", _wrap_model_request)


def uninstall() -> None:
    """Take the hooks away when nobody uses them any more."""
    global _users
    with _lock:
        _users -= 1
        if _users:
            return
        while _originals:
            owner, name, original = _originals.pop()
            setattr(owner, name, original)


def _wrap(owner: type, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    original = owner.__dict__[name]
    _originals.append((owner, name, original))
    if isinstance(original, staticmethod):
        setattr(owner, name, staticmethod(wraps(original)(make(original.__func__))))
    else:
        setattr(owner, name, wraps(original)(make(original)))


def _instrument_all(owner: type, original: Callable[..., None]) -> Callable[..., None]:
    """Stay beside what others put into the one place that there is."""

    def instrument_all(instrument: Any = True) -> None:
        original(_slots.take(owner, instrument))

    return instrument_all


class _RunScope(AbstractAsyncContextManager[Any]):
    """What ``Agent.iter`` returns, with the run noted around it."""

    def __init__(self, inner: AbstractAsyncContextManager[Any], run: Run) -> None:
        self._inner = inner
        self._run = run
        self._block: SessionScope | None = None

    @override
    async def __aenter__(self) -> Any:
        enter(self._run)
        self._block = block_of_generator()  # the SDK's spans start in a task of their own
        if self._block is not None:
            self._block.__enter__()
        try:
            self._run.agent_run = await self._inner.__aenter__()
        except BaseException as error:
            self._leave(error)
            raise
        return self._run.agent_run

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> bool | None:
        with guarded("pydantic_ai run"):
            self._run.leave(error)
        try:
            return await self._inner.__aexit__(kind, error, tb)
        finally:
            self._leave(error)

    def _leave(self, error: BaseException | None) -> None:
        leave(self._run)
        if self._block is not None:
            self._block.__exit__(None if error is None else type(error), error, None)


def _iter(original: Callable[..., Any]) -> Callable[..., Any]:
    knows_conversations = "conversation_id" in inspect.signature(original).parameters

    def iter(self: Any, user_prompt: Any = None, **options: Any) -> Any:
        run = Run(
            agent=self,
            prompt=user_prompt,
            history=options.get("message_history")
            or getattr(options.get("conversation"), "messages", None)
            or (),
            conversation_id=options.get("conversation_id"),
            conversation=options.get("conversation"),
            metadata=options.get("metadata"),
            deps=options.get("deps"),
        )
        if knows_conversations:
            with guarded("pydantic_ai conversation"):
                _offer_conversation(run, options)
        return _RunScope(original(self, user_prompt, **options), run)

    return iter


def _realtime(original: Callable[..., Any]) -> Callable[..., Any]:
    """Note what a realtime agent was given: its sessions are runs, and do not say it themselves."""

    def realtime(self: Any, *args: Any, **options: Any) -> Any:
        made = original(self, *args, **options)
        with guarded("pydantic_ai realtime"):
            _realtime_options[made] = options
        return made

    return realtime


def _session(original: Callable[..., Any]) -> Callable[..., Any]:
    def session(self: Any, **options: Any) -> Any:
        given = _realtime_options.get(self, {})
        run = Run(
            history=given.get("message_history") or (),
            conversation_id=given.get("conversation_id"),
            metadata=given.get("metadata"),
            deps=given.get("deps"),
            live=True,
        )
        return _RunScope(original(self, **options), run)

    return session


def _offer_conversation(run: Run, options: dict[str, Any]) -> None:
    """Let stored messages carry the session that holds here, where the SDK would make an id up."""
    conversation = getattr(run.conversation, "conversation_id", None)
    if run.conversation_id is not None or conversation is not None or history_id(run.history) is not None:
        return
    if any(getattr(message, "conversation_id", None) is not None for message in run.history):
        return
    session = current_session_id()
    if session is not None:
        options["conversation_id"] = session


def _wrap_run(original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    async def wrap_run(self: Any, ctx: Any, *, handler: Callable[[], Awaitable[Any]]) -> Any:
        run = current_run()
        if run is None or ours_of(self.settings) is None:
            return await original(self, ctx, handler=handler)
        run.context = ctx
        if run.prompt is None:
            run.prompt = ctx.prompt

        async def noting() -> Any:
            run.result = await handler()
            return run.result

        return await original(self, ctx, handler=noting)

    return wrap_run


def _wrap_model_request(original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    async def wrap_model_request(self: Any, ctx: Any, *, request_context: Any, handler: Any) -> Any:
        if ours_of(self.settings) is not None:
            with guarded("pydantic_ai request"):
                announce(
                    Request(
                        messages=request_context.messages,
                        settings=request_context.model_settings,
                        parameters=request_context.model_request_parameters,
                        model=request_context.model,
                    )
                )
        return await original(self, ctx, request_context=request_context, handler=handler)

    return wrap_model_request


def _request(original: Callable[..., Any]) -> Callable[..., Any]:
    def request(
        self: Any, messages: Any, model_settings: Any, model_request_parameters: Any, *rest: Any, **named: Any
    ) -> Any:
        if ours_of(self.instrumentation_settings) is not None:
            # Before 1.95 runs come through here too.
            direct = Instrumentation is not None
            announce(Request(messages, model_settings, model_request_parameters, self.wrapped, direct))
        return original(self, messages, model_settings, model_request_parameters, *rest, **named)

    return request


def _embed(original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    async def embed(self: Any, inputs: Any, *, input_type: Any, settings: Any = None) -> Any:
        ours = self.instrumentation_settings
        if isinstance(ours, LucidicSettings):
            tracer, call = ours.kit_tracer, self.wrapped.embed
        elif _slots.everywhere and ours.include_content:
            # Embedders have no default of their own but the SDK's settings: its span stays, below ours.
            tracer, call = _slots.everywhere[-1].kit_tracer, partial(original, self)
        else:
            return await original(self, inputs, input_type=input_type, settings=settings)
        return await _embeddings.embed(self, tracer, call, inputs, input_type=input_type, settings=settings)

    return embed
