"""Generators that hold a session's block, and what opens a span in them."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager

from opentelemetry import trace

import lucidic as lai


A, B, C = "session-a-123456", "session-b-123456", "session-c-123456"


def span(name):
    with trace.get_tracer("user").start_as_current_span(name):
        pass


@contextmanager
def managed(session_id):
    with lai.bind_session(session_id):
        yield


@asynccontextmanager
async def amanaged(session_id):
    async with lai.bind_session(session_id):
        yield


def holding(session_id, *names, block=lai.bind_session):
    with block(session_id):
        for name in names:
            span(name)
            yield
