"""Session tracing for LLM agents: every span of a conversation under the right session.

Use it as ``import lucidic as lai``::

    with lai.session(session_name="Order Processor") as session_id:
        agent.invoke(question, config={"callbacks": [LucidicHandler()]})
"""

from __future__ import annotations

from lucidic import context, errors
from lucidic._active import (
    bind_session,
    bind_session_async,
    clear_active_session,
    current_session_id,
    run_in_session,
    set_active_session,
    using_attributes,
    using_session,
)
from lucidic._api import continue_session, init, run_session, session, session_async
from lucidic._carrier import bind, extract, inject
from lucidic._cells import load_ipython_extension as load_ipython_extension
from lucidic._cells import unload_ipython_extension as unload_ipython_extension
from lucidic._compat import install_as_lucidicai
from lucidic._decorators import event, step
from lucidic._manage import add_sink, end_session, flush, get_session, health, shutdown, update_session
from lucidic._providers import Instrumentation, instrument
from lucidic._scope import Scope, SessionScope
from lucidic._score import score
from lucidic._serverless import flush_on_return
from lucidic._steps import create_event, create_step, end_event, end_step, update_event, update_step
from lucidic._view import show, to_dataframe


__all__ = [
    "Instrumentation",
    "Scope",
    "SessionScope",
    "add_sink",
    "bind",
    "bind_session",
    "bind_session_async",
    "clear_active_session",
    "context",
    "continue_session",
    "create_event",
    "create_step",
    "current_session_id",
    "end_event",
    "end_session",
    "end_step",
    "errors",
    "event",
    "extract",
    "flush",
    "flush_on_return",
    "get_session",
    "health",
    "init",
    "inject",
    "install_as_lucidicai",
    "instrument",
    "run_in_session",
    "run_session",
    "score",
    "session",
    "session_async",
    "set_active_session",
    "show",
    "shutdown",
    "step",
    "to_dataframe",
    "update_event",
    "update_session",
    "update_step",
    "using_attributes",
    "using_session",
]
