"""Follow realtime sessions: where their users enter and close them, and where the SDK gives them its events."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final
from weakref import WeakKeyDictionary

from lucidic.adapterkit import AdapterTracer, guarded
from lucidic_adapters.openai_agents._realtime import Conversation, is_disabled


_MODULE: Final = "agents.realtime.session"
_GIVE: Final = "_put_event"
_GIVE_NOW: Final = "_put_event_nowait"
"""Where every event goes to the session's users (0.24). Where they have moved, realtime sessions have no spans."""

Wrap = Callable[[Any, str, Any], Callable[[], None]]


def wrap_sessions(
    replace: Wrap, tracer: AdapterTracer, keys: tuple[str, ...], is_tracing: Callable[[], bool]
) -> list[Callable[[], None]]:
    """Wrap realtime sessions.

    Args:
        replace: Puts a function of ours in the place of an attribute, and returns what undoes it.
        tracer: Makes the spans.
        keys: The metadata keys that name a session.
        is_tracing: Tells whether new sessions are to be traced.

    """
    owner = _session_class()
    if owner is None:
        return []
    open_now: WeakKeyDictionary[Any, Conversation] = WeakKeyDictionary()
    enter, close, put = owner.__aenter__, owner.close, getattr(owner, _GIVE)

    @functools.wraps(enter)
    async def traced_enter(self: Any) -> Any:
        with guarded("agents realtime start"):
            if is_tracing() and not is_disabled(self) and self not in open_now:
                open_now[self] = Conversation(self, tracer, keys)
        try:
            return await enter(self)
        except BaseException as error:
            _close(self, error)
            raise

    @functools.wraps(close)
    async def traced_close(self: Any) -> None:
        try:
            await close(self)
        finally:
            _close(self, None)

    def _close(session: Any, error: BaseException | None) -> None:
        with guarded("agents realtime end"):
            conversation = open_now.pop(session, None)
            if conversation is not None:
                conversation.close(error)

    @functools.wraps(put)
    async def traced_put(self: Any, event: Any) -> Any:
        take(self, event)
        return await put(self, event)

    def take(session: Any, event: Any) -> None:
        with guarded("agents realtime event"):
            conversation = open_now.get(session)
            if conversation is not None:
                conversation.take(event)

    undone = [
        replace(owner, "__aenter__", traced_enter),
        replace(owner, "close", traced_close),
        replace(owner, _GIVE, traced_put),
    ]
    put_now = getattr(owner, _GIVE_NOW, None)
    if put_now is not None:

        @functools.wraps(put_now)
        def traced_put_now(self: Any, event: Any) -> Any:
            take(self, event)
            return put_now(self, event)

        undone.append(replace(owner, _GIVE_NOW, traced_put_now))
    return undone


def _session_class() -> Any:
    try:
        import_module(_MODULE)  # needs the SDK's extra for sockets
    except ImportError:
        return None
    owner = getattr(sys.modules[_MODULE], "RealtimeSession", None)
    return owner if hasattr(owner, _GIVE) and hasattr(owner, "close") else None
