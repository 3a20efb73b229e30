"""Process pools: each job in the session that submitted it, whatever the process was born in."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

import lucidic as lai


pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_process_pool_does_each_job_in_the_session_that_submitted_it(captured, method):
    """A process forked inside one session is neither stuck in it nor without the next one."""
    context = multiprocessing.get_context(method)
    with lai.bind_session("session-a-123456"):
        pool = ProcessPoolExecutor(1, mp_context=context)
        first = pool.submit(lai.current_session_id).result()
    with lai.bind_session("session-b-123456"):
        second = pool.submit(lai.current_session_id).result()
        (mapped,) = pool.map(lai.context.get, ["nobody"])
    third = pool.submit(lai.current_session_id).result()
    pool.shutdown()

    assert ("session-a-123456", "session-b-123456", "session-b-123456", None) == (
        first,
        second,
        mapped,
        third,
    )


def test_a_process_pool_raises_what_the_job_raises(captured):
    """The job's own exception and result pass through unchanged."""
    with (
        lai.bind_session("session-a-123456"),
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
        assert 3 == pool.submit(len, "abc").result()
        with pytest.raises(ZeroDivisionError):
            pool.submit(divmod, 1, 0).result()
