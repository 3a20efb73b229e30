"""Blocks that generators hold across a yield, and context managers made of generators."""

from __future__ import annotations

import asyncio
from contextvars import Context

import pytest
from openinference.instrumentation import suppress_tracing, using_session
from opentelemetry import trace
from tests.core.generators import A, B, C, holding, managed, span

import lucidic as lai
from lucidic import _suspended
from lucidic.adapterkit import AdapterOptions, make_tracer
from lucidic.testing import session_id_of


pytestmark = pytest.mark.usefixtures("nothing_stays_bound")


@pytest.fixture
def kit(captured):
    return make_tracer("test", AdapterOptions())


def test_a_context_manager_in_a_generator_is_the_generators(captured):
    """Generators that enter a user's context manager, interleaved, keep what each has entered."""

    def stream(session_id):
        with managed(session_id):
            for step in range(3):
                span(f"{session_id} {step}")
                yield

    for _ in zip(stream(A), stream(B), stream(C), strict=True):
        pass

    assert {f"{sid} {step}": sid for sid in (A, B, C) for step in range(3)} == captured.session_ids()


def test_a_block_of_the_consumer_does_not_reach_into_the_generator(captured):
    """A suspended generator goes on in its own session, its consumer in the one that it has entered meanwhile."""
    stream = holding(A, "first", "second", "third")
    next(stream)
    with lai.bind_session(B):
        for number, _ in enumerate(stream):
            span(f"consumer {number}")

    found = captured.session_ids()

    assert [A, A, A] == [found[name] for name in ("first", "second", "third")]
    assert [B, B] == [found["consumer 0"], found["consumer 1"]]


def test_an_inner_block_of_a_generator_that_went_on_holds(captured, kit):
    """A block entered after the generator went on counts, for plain spans and for runs, and is left again."""

    def stream(session_id):
        with lai.bind_session(session_id):
            yield
            with lai.bind_session(C):
                span(f"inner {session_id}")
                kit.start(f"inner run {session_id}", "CHAIN").end()
            span(f"after {session_id}")
            yield

    for _ in zip(stream(A), stream(B), strict=True):
        pass

    assert {
        f"inner {A}": C, f"inner run {A}": C, f"after {A}": A,
        f"inner {B}": C, f"inner run {B}": C, f"after {B}": B,
    } == captured.session_ids()  # fmt: skip


def test_a_run_of_a_generator_is_below_the_span_that_the_generator_holds(captured, kit):
    """A run that a resumed generator makes is below its own open span, not below another generator's."""

    def stream(session_id):
        with lai.bind_session(session_id), trace.get_tracer("user").start_as_current_span(session_id):
            yield
            kit.start(f"run {session_id}", "CHAIN").end()
            yield

    for _ in zip(stream(A), stream(B), strict=True):
        pass

    for session_id in (A, B):
        run = captured.named(f"run {session_id}")
        assert session_id == session_id_of(run)
        assert captured.named(session_id).context.span_id == run.parent.span_id


def test_a_plain_span_below_another_generators_has_no_session_rather_than_a_wrong_one(captured):
    """Where OpenTelemetry puts a span below another generator's, it has no session, nor what is below it."""

    def stream(session_id):
        with lai.bind_session(session_id), trace.get_tracer("user").start_as_current_span(session_id):
            yield
            with trace.get_tracer("user").start_as_current_span(f"late {session_id}"):
                span(f"below {session_id}")
            yield

    for _ in zip(stream(A), stream(B), strict=True):
        pass

    found = captured.session_ids()

    assert captured.named(B).context.trace_id == captured.named(f"late {A}").context.trace_id
    assert {A: A, B: B, f"late {B}": B, f"below {B}": B} == {name: sid for name, sid in found.items() if sid}
    assert {f"late {A}", f"below {A}"} == {name for name, sid in found.items() if sid is None}


def test_generators_under_openinferences_block_give_no_span_a_wrong_session(captured):
    """The same with OpenInference's own block, of which only its key is known."""

    def stream(session_id):
        with using_session(session_id), trace.get_tracer("user").start_as_current_span(session_id):
            span(f"first {session_id}")
            yield
            span(f"late {session_id}")
            yield

    def main():
        for _ in zip(stream(A), stream(B), strict=True):
            pass

    Context().run(main)  # its blocks reset a token each, and these are left in another order

    assert A == captured.session_ids()[A]
    assert all(sid is None or name.endswith(sid) for name, sid in captured.session_ids().items())


def test_attributes_of_another_generators_block_stay_there(captured, kit):
    """A user set by another generator is on no span of this one, plain or a run's."""

    def stream(session_id):
        with lai.using_attributes(session_id=session_id, user_id=f"user of {session_id}"):
            yield
            span(f"plain {session_id}")
            kit.start(f"run {session_id}", "CHAIN").end()
            yield

    for _ in zip(stream(A), stream(B), strict=True):
        pass

    assert {(name.split()[-1], f"user of {name.split()[-1]}") for name in captured.session_ids()} == {
        (session_id_of(span), span.attributes["user.id"]) for span in captured.spans
    }


def test_what_generators_set_by_hand_is_cleared_by_each_for_itself(captured):
    """Interleaved generators that set and clear: no span has another's session, and nothing is left."""

    def stream(session_id):
        lai.set_active_session(session_id)
        span(f"first {session_id}")
        yield
        span(f"late {session_id}")
        yield
        lai.clear_active_session()

    for _ in zip(stream(A), stream(B), stream(C), strict=True):
        pass
    span("outside")

    found = captured.session_ids()

    assert [A, B, C] == [found[f"first {sid}"] for sid in (A, B, C)]
    assert all(sid is None or name.endswith(sid) for name, sid in found.items())
    assert found["outside"] is None


def test_so_many_generators_that_set_by_hand_are_none_rather_than_wrong(captured):
    """The stack of what is set by hand has an end; whoever is beyond it has no session, and leaves none."""
    many = [f"session-{number:03d}-123456" for number in range(60)]

    def stream(session_id):
        lai.set_active_session(session_id)
        yield
        span(session_id)
        yield
        lai.clear_active_session()

    def main():
        for _ in zip(*map(stream, many), strict=True):
            pass
        span("outside")
        assert lai.current_session_id() is None

    Context().run(main)

    assert all(sid in (None, name) for name, sid in captured.session_ids().items())
    assert captured.session_ids()["outside"] is None


def test_a_generator_that_never_clears_takes_nothing_from_later_ones(captured):
    """What an exhausted generator set and never cleared yields to what is set after it, whoever asks."""

    def sloppy():
        lai.set_active_session(A)
        yield

    def quiet():
        span("quiet")
        yield

    def main():
        for _ in sloppy():
            pass
        lai.set_active_session(B)
        for _ in range(20):  # one of them lies where the first one lay
            list(quiet())

    Context().run(main)

    assert {B} == {session_id_of(span) for span in captured.spans}


def test_clearing_in_a_finalisers_task_clears_for_the_task_that_left_the_generator(captured):
    """An abandoned async generator that set a session and clears it when it is closed leaves nothing."""

    async def stream():
        lai.set_active_session(A)
        try:
            yield
        finally:
            lai.clear_active_session()

    async def main():
        generator = stream()
        await generator.__anext__()
        await asyncio.create_task(generator.aclose())
        span("outside")

    asyncio.run(main())

    assert {"outside": None} == captured.session_ids()


def test_a_block_that_was_closed_in_another_task_leaves_no_session_with_its_open_span(captured):
    """A plain span of an abandoned generator gives its session to nothing that starts below it afterwards."""
    suspended = []

    async def stream():
        async with lai.bind_session(A):
            manager = trace.get_tracer("user").start_as_current_span("held")
            manager.__enter__()
            suspended.append(manager)
            yield

    async def main():
        generator = stream()
        await generator.__anext__()
        await asyncio.create_task(generator.aclose())
        with trace.get_tracer("user").start_as_current_span("outside"):
            span("below")

    asyncio.run(main())

    assert {"outside": None, "below": None} == captured.session_ids()


def test_after_clearing_an_open_span_gives_its_session_to_nothing_that_starts_there(captured, kit):
    """A span that a suspended generator holds open does not bring a cleared session back."""

    def stream():
        with trace.get_tracer("user").start_as_current_span("held"):
            yield

    lai.set_active_session(A)
    suspended = stream()
    next(suspended)
    lai.clear_active_session()
    span("plain")
    kit.start("run", "CHAIN").end()
    assert lai.current_session_id() is None
    suspended.close()

    assert {"plain": None, "run": None, "held": A} == captured.session_ids()
    assert captured.named("run").parent is None


def test_suppressed_work_of_a_generator_that_went_on_leaves_no_span(captured, kit):
    """Suppression holds in a generator whose session the context does not have."""

    def stream(session_id):
        with lai.bind_session(session_id):
            yield
            with suppress_tracing():
                kit.start("run", "CHAIN").end()
            yield

    for _ in zip(stream(A), stream(B), strict=True):
        pass

    assert [] == captured.spans


def test_what_a_generator_hands_on_at_a_later_step_goes_in_its_own_session(captured):
    """A bound function and a carrier that a resumed generator makes have its session and its own span."""
    jobs, carriers = {}, {}

    def stream(session_id):
        with lai.bind_session(session_id), trace.get_tracer("user").start_as_current_span(session_id):
            yield
            jobs[session_id] = lai.bind(lambda: span(f"job {session_id}"))
            lai.inject(carriers.setdefault(session_id, {}))
            yield

    for _ in zip(stream(A), stream(B), strict=True):
        pass
    for session_id in (A, B):
        jobs[session_id]()
        with lai.extract(carriers[session_id]):
            span(f"remote {session_id}")

    for session_id in (A, B):
        for name in (f"job {session_id}", f"remote {session_id}"):
            found = captured.named(name)
            assert session_id == session_id_of(found)
            assert captured.named(session_id).context.span_id == found.parent.span_id


def test_where_no_generator_holds_a_block_no_frame_is_looked_at(captured, kit, monkeypatch):
    """Blocks, context managers and decorated generators cost a span's start no look at the stack."""

    @lai.bind_session(A)
    def decorated():
        yield
        span("decorated")
        kit.start("run", "CHAIN").end()

    stream = decorated()
    next(stream)
    with managed(B), lai.bind_session(C):
        monkeypatch.setattr(_suspended, "sys", None)
        span("plain")
        next(stream, None)
        monkeypatch.undo()

    assert {"decorated": A, "run": A, "plain": C} == captured.session_ids()


def test_no_block_of_a_generator_is_remembered_after_it(captured):
    """Generators that end, are closed or are dropped leave nothing behind."""
    list(holding(A, "to its end"))
    closed = holding(B, "closed", "never")
    next(closed)
    closed.close()
    dropped = holding(C, "dropped", "never")
    next(dropped)
    del dropped
    span("outside")

    assert captured.session_ids()["outside"] is None
