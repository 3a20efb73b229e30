"""What the matrix found about bindings, each as the smallest program that shows it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from openinference.instrumentation import using_session
from opentelemetry import context as otel_context
from opentelemetry import trace

import lucidic as lai
from lucidic.adapterkit import AdapterOptions, make_tracer
from lucidic.testing import session_id_of


@pytest.fixture
def kit(captured):
    return make_tracer("test", AdapterOptions())


def test_a_block_takes_along_what_a_generator_left_current(captured):
    """After the block, a span that a suspended generator holds open is no longer the parent of others."""
    tracer = trace.get_tracer("user")

    def stream():
        with tracer.start_as_current_span("held"):
            yield 1
            yield 2

    with lai.bind_session("session-a-123456"):
        suspended = stream()
        next(suspended)
    with tracer.start_as_current_span("after"):
        pass
    suspended.close()

    after = captured.named("after")

    assert session_id_of(after) is None
    assert after.parent is None


def test_tasks_made_after_a_block_was_closed_elsewhere_inherit_nothing(captured, kit):
    """A generator finalised in another task leaves neither its task nor the tasks made there its session."""

    async def held():
        async with lai.bind_session("session-a-123456"):
            yield 1

    async def child():
        kit.start("child", "CHAIN").end()

    async def main():
        generator = held()
        await generator.__anext__()
        await asyncio.create_task(generator.aclose())
        kit.start("here", "CHAIN").end()
        await asyncio.create_task(child())

    asyncio.run(main())

    assert {"here": None, "child": None} == captured.session_ids()


def test_the_block_of_a_streams_consumer_is_not_inside_the_stream(captured, kit):
    """OpenInference's block around a consumer does not name the session of a run that began elsewhere."""
    with using_session("session-a-123456"):
        run = kit.start("run", "CHAIN")
    with using_session("session-b-123456"):
        kit.start("late", "LLM", parent=run).end()
    run.end()

    assert {"late": "session-a-123456", "run": "session-a-123456"} == captured.session_ids()


def test_openinference_block_inside_a_run_is_inside_it(captured, kit):
    """OpenInference's block in user code below a run names the session of what starts inside."""
    with using_session("session-a-123456"):
        run = kit.start("run", "CHAIN")
    token = otel_context.attach(run.context)
    with using_session("session-b-123456"):
        kit.start("inner", "LLM").end()
    otel_context.detach(token)
    run.end()

    assert {"inner": "session-b-123456", "run": "session-a-123456"} == captured.session_ids()


def test_a_block_alone_carries_into_threads(captured):
    """Threads and executors carry the session of ``bind_session``, also where nobody called ``init``."""

    def work():
        with trace.get_tracer("user").start_as_current_span("in a thread"):
            pass

    with ThreadPoolExecutor(1) as pool, lai.bind_session("session-a-123456"):
        pool.submit(work).result()

    assert "session-a-123456" == session_id_of(captured.named("in a thread"))
