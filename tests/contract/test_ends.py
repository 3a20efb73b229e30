"""How runs end: failures, cancellation, streams left early, exit in mid-run."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from opentelemetry.trace import StatusCode
from tests.attribution import jobs
from tests.attribution.jobs import Mark

import lucidic as lai
from lucidic._runtime import runtime
from lucidic.testing import session_id_of


MARK = Mark("user_0001_conv_0001", 0)
SESSION = MARK.session_id


def unended(captured):
    ended = {span.context.span_id for span in captured.spans}
    return [span.name for span in captured.started if span.context.span_id not in ended]


def root(captured):
    (found,) = (span for span in captured.spans if span.parent is None)
    return found


async def _cancel_in_the_model(traced):
    reached = jobs.gate(MARK)
    task = asyncio.ensure_future(traced.arun(f"{MARK} {jobs.HANG}"))
    await reached.wait()
    return task


@pytest.mark.parametrize("order", [jobs.FAIL_MODEL, jobs.FAIL_TOOL])
def test_a_failing_run_raises_its_own_error_and_ends_every_span(traced, captured, order):
    """The user's exception passes through; the root has status ERROR, and no span stays open."""
    with lai.bind_session(SESSION), pytest.raises(traced.errors):
        asyncio.run(traced.arun(f"{MARK} {order}"))

    assert [] == unended(captured)
    assert StatusCode.ERROR is root(captured).status.status_code
    assert {SESSION} == {session_id_of(span) for span in captured.spans}


def test_a_cancelled_run_ends_every_span_and_says_so(traced, captured):
    """Cancellation in the model call leaves no span open, and is told from a failure."""

    async def main():
        async with lai.bind_session(SESSION):
            task = await _cancel_in_the_model(traced)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    asyncio.run(main())
    jobs.forget()

    assert [] == unended(captured)
    assert root(captured).attributes.get("lucidic.cancelled") is True
    assert {SESSION} == {session_id_of(span) for span in captured.spans}


def test_a_stream_left_early_ends_every_span_and_says_so(traced, captured):
    """A stream closed after its first chunk leaves no span open, and is no error."""
    start = (
        traced.astream if "async" in traced.streams else traced.aevents
    )  # a run in steps, where there is no stream

    async def main():
        async with lai.bind_session(SESSION):
            stream = start(str(MARK))
            await anext(stream)
            await stream.aclose()
            for _ in range(20):
                await asyncio.sleep(0)

    asyncio.run(main())

    assert [] == unended(captured)
    assert StatusCode.ERROR is not root(captured).status.status_code
    assert {SESSION} == {session_id_of(span) for span in captured.spans}


def test_exit_in_mid_run_ends_every_span_as_incomplete(traced, captured):
    """What is open at the exit of the process is ended, marked incomplete, and not lost."""

    async def main():
        async with lai.bind_session(SESSION):
            task = await _cancel_in_the_model(traced)
            runtime().finish()
            left = unended(captured)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        return left

    left = asyncio.run(main())
    jobs.forget()

    assert [] == left
    assert root(captured).attributes.get("lucidic.incomplete") is True
