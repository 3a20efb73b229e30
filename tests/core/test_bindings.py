"""Bindings across tasks, threads, executors, queues and wrong uses of scopes."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading

import pytest
from openinference.instrumentation import using_attributes as their_attributes
from openinference.instrumentation import using_session as their_session
from opentelemetry import context as otel_context
from opentelemetry import trace
from tests.garbage import left_to_the_collector

import lucidic as lai
from lucidic import _binding
from lucidic.testing import session_id_of


def plain(name):
    with trace.get_tracer("user").start_as_current_span(name):
        pass


def run_eagerly(main):
    async def outer():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        await main()

    asyncio.run(outer())


def run_in_thread(main):
    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join()


def run_plainly(main):
    asyncio.run(main())


RUNNERS = [run_plainly, run_in_thread] + ([run_eagerly] if sys.version_info >= (3, 12) else [])
runners = pytest.mark.parametrize("run", RUNNERS)


@pytest.fixture(autouse=True)
def _nothing_stays_bound(captured, caplog):
    """Whatever a test does with scopes: nothing stays bound, and nothing is logged."""
    yield
    assert _binding.top() is None
    assert "session.id" not in otel_context.get_current()
    assert [] == [record.getMessage() for record in caplog.records]


@runners
def test_concurrent_sessions_keep_their_spans_apart(captured, run):
    """50 interleaved sessions: every span is under its own."""

    async def request(index):
        async with lai.session_async(session_id=f"request-session-{index}"):
            for step in range(4):
                plain(f"{index}-{step}")
                await asyncio.sleep(0)

    async def main():
        await asyncio.gather(*(request(index) for index in range(50)))

    run(main)

    assert 200 == len(captured.spans)
    for name, session_id in captured.session_ids().items():
        assert f"request-session-{name.partition('-')[0]}" == session_id


@runners
def test_task_outlives_the_block_that_started_it(captured, run):
    """Fire and forget: a task started in a block keeps its session after the block was left."""

    async def background(gate):
        await gate.wait()
        plain("background")

    async def main():
        gate = asyncio.Event()
        with lai.bind_session("started-here-1234"):
            task = asyncio.create_task(background(gate))
        plain("outside")
        gate.set()
        await task

    run(main)

    assert {"outside": None, "background": "started-here-1234"} == captured.session_ids()


@runners
def test_child_task_that_sets_and_clears_leaves_its_parent_alone(captured, run):
    """Setting, replacing and clearing in a child task changes nothing for the task it inherited from."""

    async def child():
        lai.clear_active_session()
        assert lai.current_session_id() is None
        lai.set_active_session("of-the-child-123")

    async def same():
        lai.set_active_session("of-the-parent-12")
        lai.clear_active_session()

    async def main():
        lai.set_active_session("of-the-parent-12")
        await asyncio.create_task(child())
        assert "of-the-parent-12" == lai.current_session_id()
        await asyncio.create_task(same())
        assert "of-the-parent-12" == lai.current_session_id()
        lai.clear_active_session()
        assert lai.current_session_id() is None

    run(main)


@runners
def test_blocks_left_in_another_order_leave_nothing(captured, run):
    """Two blocks that are left in the order in which they were entered restore everything."""

    async def main():
        first, second = lai.bind_session("first-block-1234"), lai.using_attributes(user_id="u")
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert lai.current_session_id() is None
        second.__exit__(None, None, None)
        assert "session.id" not in otel_context.get_current()

    run(main)


@runners
def test_exit_without_enter_and_twice_do_nothing(captured, run):
    """Leaving a scope too often is harmless."""

    async def main():
        scope = lai.bind_session("left-too-often-1")
        scope.__exit__(None, None, None)
        with scope:
            pass
        await scope.__aexit__(None, None, None)

    run(main)


@runners
def test_leaked_async_generator_leaves_no_binding(captured, run):
    """An async generator that holds a session and is collected in another task leaks nothing."""

    async def holder():
        async with lai.session(session_id="held-session-123"):
            yield 1
            yield 2

    async def main():
        async def abandon():
            generator = holder()
            await anext(generator)

        await asyncio.create_task(abandon())
        gc.collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert lai.current_session_id() is None

    run(main)


@runners
def test_closing_a_generator_in_another_task_passes_its_own_session_by(captured, run):
    """A generator of session A closed in a task of session B leaves B bound there."""

    async def holder():
        async with lai.bind_session("session-a-123456"):
            yield 1
            yield 2

    async def main():
        generator = holder()
        await anext(generator)

        async def closer():
            async with lai.bind_session("session-b-123456"):
                await generator.aclose()
                assert "session-b-123456" == lai.current_session_id()

        await asyncio.create_task(closer())
        assert lai.current_session_id() is None

    run(main)


def test_attributes_of_a_block_are_on_every_span(captured):
    """user.id, metadata and tags are on plain spans, whichever library's block put them there."""
    with lai.using_attributes(
        session_id="conv_456_of_ours", user_id="u-1", metadata={"tier": "premium"}, tags=["a"]
    ):
        plain("ours")
    with their_attributes(
        session_id="conv_456_theirs", user_id="u-1", metadata={"tier": "premium"}, tags=["a"]
    ):
        plain("theirs")
    with their_session("conv_outer_12345"), lai.using_attributes(user_id="u-1"):
        plain("mixed")
    plain("outside")

    wanted = {"user.id": "u-1", "metadata": '{"tier": "premium"}', "tag.tags": ("a",)}
    for name in ("ours", "theirs"):
        attributes = captured.named(name).attributes
        assert wanted == {
            key: attributes[key].replace('":"', '": "') if key == "metadata" else attributes[key]
            for key in wanted
        }
    assert {
        "ours": "conv_456_of_ours", "theirs": "conv_456_theirs", "mixed": "conv_outer_12345", "outside": None,
    } == captured.session_ids()  # fmt: skip
    assert "user.id" not in captured.named("outside").attributes


def test_attributes_work_as_decorator_and_async_block(captured):
    """using_attributes decorates every kind of function and is an async block too."""

    @lai.using_attributes(user_id="u-1")
    def stream():
        plain("step")
        yield 1

    async def main():
        async with lai.using_session("async-block-1234"), lai.using_attributes(user_id="u-2"):
            plain("async")

    list(stream())
    asyncio.run(main())

    assert ("u-1", "u-2") == tuple(captured.named(name).attributes["user.id"] for name in ("step", "async"))


def test_restored_older_context_does_not_lose_the_session(captured):
    """A framework that restores an older OpenTelemetry context does not take the session or its user away."""
    older = otel_context.get_current()
    with lai.using_attributes(session_id="kept-session-123", user_id="u-1"):
        token = otel_context.attach(older)
        plain("restored")
        otel_context.detach(token)

    assert "kept-session-123" == session_id_of(captured.named("restored"))
    assert "u-1" == captured.named("restored").attributes["user.id"]


def test_ids_are_kept_exactly(captured):
    """Unicode and long ids arrive as they are."""
    for session_id in ("gespräch-日本語-🙂", "x" * 300, "user_123_conv_456"):
        with lai.bind_session(session_id):
            plain(session_id)

    assert all(name == found for name, found in captured.session_ids().items())


def test_ids_that_code_sets_on_a_span_never_differ(captured):
    """An id set over the stamped one is kept apart; on a span without a session it counts for that span alone."""
    tracer = trace.get_tracer("user")
    with lai.bind_session("stamped-session-1"), tracer.start_as_current_span("stamped") as span:
        span.set_attribute("session.id", "set-by-hand-1234")
        span.set_attribute("gen_ai.conversation.id", "unknown")
    with tracer.start_as_current_span("late") as span:
        span.set_attribute("session.id", "set-by-hand-1234")
        plain("child of late")
    with tracer.start_as_current_span("no id") as span:
        span.set_attribute("session.id", lai.context.get())

    def ids(name):
        attributes = captured.named(name).attributes
        return {attributes.get(key) for key in ("lucidic.session_id", "session.id", "gen_ai.conversation.id")}

    assert {"stamped-session-1"} == ids("stamped")
    assert "set-by-hand-1234" in captured.named("stamped").attributes.values()
    assert {"set-by-hand-1234"} == ids("late")
    assert {None} == ids("child of late")
    assert {None} == ids("no id")


def test_weak_id_is_hinted_at_once(captured, monkeypatch):
    """A weak id works and is answered with one hint, however often it comes."""
    from lucidic import _ids

    hints = []
    monkeypatch.setattr(_ids, "_hinted", False)
    monkeypatch.setattr(_ids.logger, "warning", lambda *args: hints.append(args))
    for session_id in ("test", "session_1", "test"):
        with lai.bind_session(session_id):
            assert session_id == lai.current_session_id()

    assert 1 == len(hints)


def test_notebook_cell_with_await_keeps_the_session_for_the_next_cell(captured, monkeypatch):
    """In a notebook a session entered in a cell's lost context counts until it is left, in whatever cell."""
    import builtins
    import contextvars

    monkeypatch.setattr(builtins, "__IPYTHON__", True, raising=False)
    scope = lai.bind_session("notebook-session-1")
    contextvars.copy_context().run(scope.__enter__)
    plain("next cell")
    scope.__exit__(None, None, None)
    plain("after")

    assert {"next cell": "notebook-session-1", "after": None} == captured.session_ids()


def test_session_ended_in_another_notebook_cell_counts_no_more(captured, monkeypatch):
    """In a notebook, end_session() also ends what a cell with a lost context bound."""
    import builtins
    import contextvars

    monkeypatch.setattr(builtins, "__IPYTHON__", True, raising=False)
    contextvars.copy_context().run(lai.init, "notebook")
    lai.end_session()

    assert lai.current_session_id() is None


def test_a_block_leaves_nothing_to_the_garbage_collector(captured):
    """What a block needed is gone when it is left, with the spans that it held."""
    with lai.session(session_id="held-session-123"):
        pass
    with left_to_the_collector() as left:
        for _ in range(3):
            with lai.session(session_id="held-session-123"), lai.using_attributes(user_id="u"):
                plain("one")
        captured.clear()
    assert left == []
