"""Bindings across tasks, threads, executors, queues and wrong uses of scopes."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import queue
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from openinference.instrumentation import using_attributes as their_attributes
from openinference.instrumentation import using_session as their_session
from opentelemetry import context as otel_context
from opentelemetry import trace

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


THREAD_WAYS = {
    "thread": lambda work: _join(threading.Thread(target=work)),
    "timer": lambda work: _join(threading.Timer(0, work)),
    "submit": lambda work: _with_pool(lambda pool: pool.submit(work).result()),
    "map": lambda work: _with_pool(lambda pool: list(pool.map(lambda _: work(), [0, 1]))),
    "run_in_executor": lambda work: asyncio.run(_in_executor(work)),
    "to_thread": lambda work: asyncio.run(asyncio.to_thread(work)),
    "loop_in_thread": lambda work: _join(threading.Thread(target=lambda: asyncio.run(_later(work)))),
}


def _join(thread):
    thread.start()
    thread.join()


def _with_pool(work):
    with ThreadPoolExecutor(2) as pool:
        work(pool)


async def _in_executor(work):
    await asyncio.get_running_loop().run_in_executor(None, work)


async def _later(work):
    await asyncio.sleep(0)
    work()


@pytest.mark.parametrize("way", THREAD_WAYS)
def test_threads_started_inside_a_session_carry_it(captured, way):
    """Threads, timers, executors and loops in threads belong to the session that starts them."""
    with lai.session(session_id="started-in-thread"):
        THREAD_WAYS[way](lambda: plain("inside"))
    THREAD_WAYS[way](lambda: plain("outside"))

    assert {"inside": "started-in-thread", "outside": None} == captured.session_ids()


def test_pool_threads_serve_each_job_in_its_own_session(captured):
    """One pool thread that serves many sessions gives each job its own, and none to jobs without."""
    with ThreadPoolExecutor(1) as pool:
        for index in range(5):
            with lai.session(session_id=f"job-session-{index}"):
                pool.submit(plain, f"job-{index}").result()
            pool.submit(plain, f"none-{index}").result()

    for name, session_id in captured.session_ids().items():
        kind, _, index = name.partition("-")
        assert (f"job-session-{index}" if kind == "job" else None) == session_id


def test_threading_can_be_left_off(captured):
    """With threading=False a thread gets no session, and never a wrong one."""
    with lai.session(session_id="not-in-threads-1", threading=False):
        THREAD_WAYS["submit"](lambda: plain("inside"))

    assert {"inside": None} == captured.session_ids()


def test_bound_function_keeps_its_session_in_a_worker(captured):
    """bind() gives a queue's consumer the producer's session; without it a worker gets none."""
    jobs = queue.Queue()

    def worker():
        while (job := jobs.get()) is not None:
            job()

    thread = threading.Thread(target=worker)
    thread.start()
    for index in range(3):
        with lai.session(session_id=f"producer-session-{index}"):
            jobs.put(lai.bind(lambda index=index: plain(f"bound-{index}")))
            jobs.put(lambda index=index: plain(f"plain-{index}"))
    jobs.put(None)
    thread.join()

    for name, session_id in captured.session_ids().items():
        kind, _, index = name.partition("-")
        assert (f"producer-session-{index}" if kind == "bound" else None) == session_id


def test_bound_function_keeps_its_session_after_the_block_in_the_same_thread(captured):
    """bind() captures for good: coroutine, generator and async generator functions too."""

    def work():
        plain("plain")

    async def work_later():
        await asyncio.sleep(0)
        plain("coroutine")

    def stream():
        plain("generator")
        yield 1

    async def stream_later():
        plain("async-generator")
        yield 1

    with lai.bind_session("captured-for-good"):
        bound = [lai.bind(function) for function in (work, work_later, stream, stream_later)]

    async def consume():
        await bound[1]()
        return [item async for item in bound[3]()]

    bound[0]()
    list(bound[2]())
    asyncio.run(consume())

    assert {"captured-for-good"} == set(captured.session_ids().values())
    assert 4 == len(captured.spans)


def test_carrier_takes_session_and_parent_to_another_process(captured):
    """inject() and extract() carry session and trace; a carrier without a session gives none."""
    carrier, empty = {}, {}
    lai.inject(empty)
    with lai.session(session_id="täglich-🙂-carried"), trace.get_tracer("t").start_as_current_span("sender"):
        lai.inject(carrier)
    headers = {key.title(): value for key, value in carrier.items()}

    def receive():
        with lai.extract(headers) as session_id:
            assert "täglich-🙂-carried" == session_id
            plain("receiver")
        with lai.bind_session("of-the-consumer-1"), lai.extract(empty) as nothing:
            assert nothing is None
            plain("without")

    contextvars.Context().run(receive)
    sender, receiver = captured.named("sender"), captured.named("receiver")

    assert {"traceparent", "baggage"} == set(carrier)
    assert {} == empty
    assert sender.context.trace_id == receiver.context.trace_id
    assert sender.context.span_id == receiver.parent.span_id
    assert "täglich-🙂-carried" == session_id_of(receiver)
    assert session_id_of(captured.named("without")) is None


def test_call_later_and_threadsafe_calls_keep_the_session(captured):
    """Loop callbacks armed inside a session, and coroutines sent to a loop from a session, belong to it."""

    async def main():
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def callback():
            plain("callback")
            done.set()

        with lai.bind_session("armed-inside-1234"):
            loop.call_later(0, callback)
        await done.wait()

        def from_thread():
            with lai.bind_session("from-a-thread-123"):
                asyncio.run_coroutine_threadsafe(_later(lambda: plain("sent")), loop).result(10)

        await asyncio.to_thread(from_thread)

    asyncio.run(main())

    assert {"callback": "armed-inside-1234", "sent": "from-a-thread-123"} == captured.session_ids()


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
