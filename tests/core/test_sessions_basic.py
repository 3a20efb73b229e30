"""Blocks, manual binding, inner blocks and streams that outlive their block."""

from __future__ import annotations

import asyncio
import contextvars
from contextlib import nullcontext

import pytest
from openinference.instrumentation import using_session
from opentelemetry import trace

import lucidic as lai
from lucidic import _binding
from lucidic._runtime import runtime
from lucidic.adapterkit import AdapterOptions, framework_ids, make_tracer
from lucidic.testing import session_id_of


def plain(name):
    """A plain OpenTelemetry span, opened and ended at once."""
    with trace.get_tracer("user").start_as_current_span(name):
        pass


@pytest.fixture
def kit(captured):
    return make_tracer("test", AdapterOptions())


def test_plain_spans_inside_a_session_carry_its_three_ids(captured):
    """A plain span inside a block carries the session's id under all three keys."""
    with lai.session("one") as sid:
        plain("inside")
    plain("outside")

    attributes = captured.named("inside").attributes

    assert {sid} == {
        attributes[key] for key in ("lucidic.session_id", "session.id", "gen_ai.conversation.id")
    }
    assert session_id_of(captured.named("outside")) is None
    assert ["start", "end"] == [record.event for record in captured.sessions]


def test_openinference_block_inside_ours_wins_and_ours_comes_back(captured):
    """The innermost block counts, whoever made it."""
    with lai.bind_session("ours-1234567890"):
        with using_session("theirs-1234567890"):
            plain("inner")
            with lai.bind_session("third-1234567890"):
                plain("third")
            plain("inner-again")
        plain("outer")

    assert {
        "inner": "theirs-1234567890",
        "third": "third-1234567890",
        "inner-again": "theirs-1234567890",
        "outer": "ours-1234567890",
    } == captured.session_ids()


def test_inner_block_of_another_session_starts_a_linked_trace(captured):
    """A block that binds another session inside a trace starts a trace of its own, linked to the span it left."""
    tracer = trace.get_tracer("user")
    with lai.bind_session("session-a-123456"), tracer.start_as_current_span("a"):
        with lai.bind_session("session-b-123456"):
            plain("b")
        plain("a2")

    a, b, a2 = (captured.named(name) for name in ("a", "b", "a2"))

    assert "session-b-123456" == session_id_of(b)
    assert b.parent is None
    assert b.context.trace_id != a.context.trace_id
    assert [a.context.span_id] == [link.context.span_id for link in b.links]
    assert a2.parent.span_id == a.context.span_id
    assert "session-a-123456" == session_id_of(a2)


def test_stream_that_outlives_its_block_keeps_the_parents_session(captured, kit):
    """A span below an open run belongs to the run's session, whatever block is current by then."""
    with lai.bind_session("session-a-123456"):
        run = kit.start("run", "CHAIN")
    with lai.bind_session("session-b-123456"):
        late = kit.start("late", "LLM", parent=run)
        late.end()
        run.end()

    assert {"late": "session-a-123456", "run": "session-a-123456"} == captured.session_ids()


@pytest.mark.parametrize("consumer", ["another's block", "none"])
def test_stream_that_outlives_its_block_keeps_what_the_block_set(captured, kit, consumer):
    """User, tags and metadata go with the session: never those of whoever consumes the stream."""
    with lai.using_attributes(session_id="made-1", user_id="ann", tags=["a"]):
        run = kit.start("run", "CHAIN")
    with (
        lai.using_attributes(session_id="consumed-1", user_id="bob") if consumer != "none" else nullcontext()
    ):
        step = kit.start("step", "CHAIN", parent=run)
        with trace.use_span(step.span):
            kit.start("below", "CHAIN").end()
            with lai.using_attributes(user_id="cay"):
                kit.start("own words", "CHAIN").end()
        with trace.use_span(step.span), trace.get_tracer("user").start_as_current_span("plain"):
            kit.start("below plain", "CHAIN").end()
        kit.start("the consumer's", "CHAIN").end()
        step.end()
    run.end()

    theirs = ("consumed-1", "bob", None) if consumer != "none" else (None, None, None)
    found = {
        span.name: tuple(span.attributes.get(key) for key in ("session.id", "user.id", "tag.tags"))
        for span in captured.spans
    }
    assert theirs == found.pop("the consumer's")
    assert ("made-1", "cay", ("a",)) == found.pop("own words")
    assert {("made-1", "ann", ("a",))} == set(found.values())


def test_framework_id_names_the_session_of_everything_below(captured, kit):
    """Plain spans in a run's context inherit the session that the framework's id named."""
    run = kit.start("run", "CHAIN", framework=framework_ids({"thread_id": 7}, "fw.metadata"))

    def below():
        assert "7" == lai.current_session_id()
        plain("below")

    context = contextvars.copy_context()
    from opentelemetry import context as otel

    context.run(lambda: (otel.attach(run.context), below()))
    run.end()

    assert {"below": "7", "run": "7"} == captured.session_ids()
    assert "fw.metadata.thread_id" == captured.named("run").attributes["lucidic.session.source"]


def test_block_inside_a_run_splits_the_adapters_spans_too(captured, kit):
    """An adapter's span below a run, started in an inner block, leaves the run's trace with a link."""
    run = kit.start("run", "CHAIN", framework=framework_ids({"thread_id": "t-outer-123456"}, "fw"))

    def node():
        from opentelemetry import context as otel

        otel.attach(run.context)
        with lai.bind_session("inner-block-1234"):
            child = kit.start("child", "LLM", parent=run)
            child.end()

    contextvars.copy_context().run(node)
    run.end()

    child = captured.named("child")

    assert "inner-block-1234" == session_id_of(child)
    assert child.context.trace_id != captured.named("run").context.trace_id
    assert 1 == len(child.links)


def test_scope_entered_twice_and_shared_leaves_nothing_behind(captured):
    """One scope object can be entered twice and shared between tasks; each exit restores what was before."""
    scope = lai.bind_session("shared-session-1")

    async def worker(barrier):
        async with scope as sid:
            await barrier.wait()
            assert sid == lai.current_session_id()
        assert lai.current_session_id() is None

    async def main():
        event = asyncio.Event()
        tasks = [asyncio.create_task(worker(event)) for _ in range(5)]
        await asyncio.sleep(0)
        event.set()
        await asyncio.gather(*tasks)

    with scope:
        with scope:
            pass
        assert "shared-session-1" == lai.current_session_id()
    asyncio.run(main())

    assert lai.current_session_id() is None
    assert _binding.top() is None


def test_binding_closed_elsewhere_is_dead_for_its_owner(captured, caplog):
    """A generator that holds a session and is closed in another context leaves no binding and no log line."""

    def holder():
        with lai.bind_session("held-session-123"):
            yield 1
            yield 2

    generator = holder()
    next(generator)
    assert "held-session-123" == lai.current_session_id()
    contextvars.copy_context().run(generator.close)

    assert lai.current_session_id() is None
    assert [] == caplog.records


def test_decorated_generator_does_not_leak_between_its_steps(captured):
    """Each step of a decorated generator runs in the session; the consumer never sees it."""

    @lai.bind_session("decorated-session")
    def stream():
        for index in range(3):
            plain(f"step-{index}")
            yield index

    seen = []
    for _ in stream():
        seen.append(lai.current_session_id())

    assert [None, None, None] == seen
    assert {"decorated-session"} == set(captured.session_ids().values())


def test_decorated_async_generator_does_not_leak_between_its_steps(captured):
    """Each step of a decorated async generator runs in the session, also with a real await inside."""

    @lai.bind_session("decorated-session")
    async def stream():
        for index in range(3):
            await asyncio.sleep(0)
            plain(f"step-{index}")
            yield index

    async def main():
        seen = [lai.current_session_id() async for _ in stream()]
        assert [None, None, None] == seen

    asyncio.run(main())

    assert {"decorated-session"} == set(captured.session_ids().values())


def test_manual_sessions_stack(captured):
    """clear_active_session brings back the session that was set before."""
    lai.set_active_session("first-session-123")
    lai.set_active_session("second-session-12")
    assert "second-session-12" == lai.current_session_id()
    lai.clear_active_session()
    assert "first-session-123" == lai.current_session_id()
    lai.clear_active_session()

    assert lai.current_session_id() is None


def test_init_binds_and_one_open_init_session_is_the_fallback(captured):
    """init binds its context; elsewhere one open init session counts, and with two nothing is guessed."""
    first = lai.init("first")
    assert first == lai.current_session_id()
    assert first == contextvars.Context().run(lai.current_session_id)
    lai.init("second")

    assert contextvars.Context().run(lai.current_session_id) is None


@pytest.mark.parametrize("bad", ["", "  ", None, 7, "unknown", "half \ud83d"])
def test_bad_ids_are_refused_with_a_clear_error(bad):
    """An id that is empty, no text, no valid Unicode, or the word for no session is a ValueError."""
    with pytest.raises(ValueError, match="session id must be"):
        lai.bind_session(bad)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (" ", "' ' is empty"),
        ("unknown", "'unknown' stands for no session"),
        ("half \ud83d", "holds half a character"),
        (7, "7 is of type int"),
    ],
)
def test_refusal_of_an_id_says_what_is_wrong_with_it(bad, reason):
    """The error names the reason that holds for this id."""
    with pytest.raises(lai.errors.InvalidSessionIDError, match=reason):
        lai.bind_session(bad)


def test_half_characters_hold_up_no_other_session():
    """A text that UTF-8 cannot hold costs only that character: what comes after it reaches the store."""
    with lai.session("half \ud83d", user_id="\ude00") as broken:
        pass
    with lai.session("whole") as whole:
        pass

    assert lai.flush(10)
    assert ("half ?", "whole") == (lai.get_session(broken).name, lai.get_session(whole).name)


def test_framework_id_of_half_a_character_names_no_session(captured):
    """JSON from outside may hold a lone surrogate as an id: the span is kept, unattributed."""
    trace.get_tracer("t").start_span("s", attributes={"session.id": "half \ud83d"}).end()
    with lai.bind_session("processor-is-there-1"):
        pass
    trace.get_tracer("t").start_span("later", attributes={"session.id": "half \ud83d"}).end()

    assert captured.session_ids()["later"] is None


def test_opening_a_session_reads_no_package_metadata(captured, monkeypatch):
    """Without a foreign provider's name no session looks through everything that is installed."""
    from lucidic import _providers

    monkeypatch.setattr(_providers, "_offered", lambda: pytest.fail("metadata was read"))
    with lai.session("plain", providers=["openai"]):
        pass

    assert ["start", "end"] == [record.event for record in captured.sessions]


def test_async_callable_object_runs_in_the_session():
    """An object whose call is a coroutine function is awaited inside the session, not after it."""

    class Agent:
        async def __call__(self):
            return lai.current_session_id()

    assert "async-callable-1" == asyncio.run(lai.run_in_session("async-callable-1", Agent()))


def test_init_sessions_are_told_from_those_of_blocks_that_share_them():
    """A session that init() opened stays its own through a block of the same id, until it ends."""
    lai.init(session_id="shared-by-init-1")
    with lai.session(session_id="block-of-its-own-1"):
        assert ("shared-by-init-1",) == runtime().lifecycle.init_ids()
    lai.end_session("shared-by-init-1")

    assert () == runtime().lifecycle.init_ids()


def test_session_starts_no_later_than_its_first_span():
    """A framework's id names a session only once its first span has started; that span is part of it."""
    tracer = make_tracer("t", AdapterOptions())
    live = tracer.start("run", "AGENT", framework=framework_ids({"thread_id": "started-early-1"}, "t"))
    start_ns = live.span.start_time
    live.end()

    assert lai.flush(10)
    assert start_ns == lai.get_session("started-early-1").started_ns
