"""Whose session a run is: the same answer from every adapter."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.attribution import jobs
from tests.attribution.jobs import Mark, find_mark

import lucidic as lai
from lucidic.testing import capture_spans, session_id_of


MARK = Mark("user_0001_conv_0001", 0)
BOUND = "user_0001_bound_block"
NAMED = "user_0002_named_in_data"


def sessions(captured):
    return {session_id_of(span) for span in captured.spans}


def text(span):
    return f"{span.name} {dict(span.attributes)}"


def source(captured):
    (root,) = (span for span in captured.spans if span.parent is None)
    return root.attributes.get("lucidic.session.source")


def test_a_bound_session_wins_over_the_frameworks_id(traced, captured):
    """With a block and an id in the framework's data, the block's session is that of every span."""
    with lai.bind_session(BOUND):
        asyncio.run(traced.arun(str(MARK), **{traced.keys[0]: NAMED}))

    assert {BOUND} == sessions(captured)
    assert "bound" == source(captured)


def test_the_frameworks_id_that_lost_is_kept_as_an_attribute(traced, captured):
    """What the framework's data named is not lost where a block wins."""
    with lai.bind_session(BOUND):
        asyncio.run(traced.arun(str(MARK), **{traced.keys[0]: NAMED}))

    kept = {
        value
        for span in captured.spans
        for key, value in span.attributes.items()
        if key.startswith("lucidic.framework_id")
    }

    assert {NAMED} == kept


def test_session_from_framework_turns_the_order_round(workload):
    """With session_from="framework" the id in the framework's data wins over the block."""
    with (
        capture_spans(session_from="framework") as captured,
        workload.instrumented(),
        lai.bind_session(BOUND),
    ):
        asyncio.run(workload.arun(str(MARK), **{workload.keys[0]: NAMED}))

    assert {NAMED} == sessions(captured)


def test_the_frameworks_id_names_the_session_of_every_span(traced, captured):
    """Without a block, each of the framework's ids names the session, of plain spans below too."""
    for key in traced.keys:
        captured.clear()
        asyncio.run(traced.arun(str(MARK), **{key: NAMED}))
        assert {key: {NAMED}} == {key: sessions(captured)}


def test_nothing_is_made_up_where_nothing_names_a_session(traced, captured):
    """Without a block and an id, every span is exported unattributed."""
    asyncio.run(traced.arun(str(MARK)))

    assert {None} == sessions(captured)
    assert captured.spans


def test_a_block_inside_a_tool_begins_a_linked_trace(traced, captured):
    """Another session bound inside a tool has a trace of its own, linked to the span it left."""
    with lai.bind_session(BOUND):
        asyncio.run(traced.arun(f"{MARK} {jobs.INNER}"))

    inner = [span for span in captured.spans if span.name == "inner"]
    outer = {span.context.span_id: span for span in captured.spans if span.name != "inner"}

    assert inner
    assert {jobs.inner_of(MARK).session_id} == {session_id_of(span) for span in inner}
    assert {BOUND} == {session_id_of(span) for span in outer.values()}
    assert all(span.links[0].context.span_id in outer for span in inner)
    assert not {span.context.trace_id for span in inner} & {span.context.trace_id for span in outer.values()}


def test_the_only_session_of_init_is_the_fallback(traced, captured):
    """A session opened by init() takes what nothing else names."""
    opened = lai.init("fallback")
    asyncio.run(traced.arun(str(MARK)))
    lai.end_session()

    assert {opened} == sessions(captured)


def test_nested_blocks_each_have_their_runs(traced, captured):
    """A run inside an inner block is in its session and a trace of its own; after it the outer one counts again."""

    async def main():
        async with lai.bind_session(BOUND):
            await traced.arun(str(Mark(BOUND, 0)))
            async with lai.bind_session(NAMED):
                await traced.arun(str(Mark(NAMED, 0)))
            await traced.arun(str(Mark(BOUND, 1)))
        await traced.arun(str(Mark("outside", 0)))

    asyncio.run(main())

    roots = [span for span in captured.spans if span.parent is None]

    assert [(BOUND, BOUND), (NAMED, NAMED), (BOUND, BOUND), (None, "outside")] == [
        (session_id_of(root), find_mark(text(root)).session_id) for root in roots
    ]
    assert 4 == len({(span.context.trace_id, session_id_of(span)) for span in captured.spans})


def test_runs_in_threads_keep_their_sessions(workload, captured):
    """Runs in the threads of a pool, submitted inside their sessions, keep their sessions and traces apart."""
    with workload.instrumented(), ThreadPoolExecutor(4) as pool:
        jobs = []
        for number in range(8):
            with lai.bind_session(f"user_{number}_conversation"):
                jobs.append(pool.submit(workload.run, str(Mark(f"user_{number}_conversation", 0))))
        for job in jobs:
            job.result()

    pairs = {(span.context.trace_id, session_id_of(span)) for span in captured.spans}

    assert {f"user_{number}_conversation" for number in range(8)} == {session for _, session in pairs}
    assert 8 == len(pairs)


@pytest.mark.parametrize("count", [8])
def test_parallel_runs_keep_their_sessions(traced, captured, count):
    """Runs gathered in one loop keep their sessions and traces apart."""

    async def one(number):
        async with lai.bind_session(f"user_{number}_conversation"):
            await traced.arun(str(Mark(f"user_{number}_conversation", 0)))

    async def main():
        await asyncio.gather(*map(one, range(count)))

    asyncio.run(main())

    pairs = {(span.context.trace_id, session_id_of(span)) for span in captured.spans}

    assert count == len(pairs)
