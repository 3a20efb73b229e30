"""Session tracing for LLM agents: every span of a conversation under the right session.

Use it as ``import lucidic as lai``::

    with lai.session(session_name="Order Processor") as session_id:
        agent.invoke(question, config={"callbacks": [LucidicHandler()]})
"""

from __future__ import annotations

from lucidic._api import (
    add_sink,
    bind_session,
    bind_session_async,
    clear_active_session,
    current_session_id,
    end_session,
    flush,
    health,
    init,
    session,
    session_async,
    set_active_session,
)
from lucidic._providers import Instrumentation, instrument
from lucidic._view import show


__all__ = [
    "Instrumentation",
    "add_sink",
    "bind_session",
    "bind_session_async",
    "clear_active_session",
    "current_session_id",
    "end_session",
    "flush",
    "health",
    "init",
    "instrument",
    "session",
    "session_async",
    "set_active_session",
    "show",
]
