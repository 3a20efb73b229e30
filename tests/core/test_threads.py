"""Threads, executors, queues, carriers: sessions where no context goes by itself."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import trace

import lucidic as lai
from lucidic.testing import session_id_of


def plain(name):
    with trace.get_tracer("user").start_as_current_span(name):
        pass


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
