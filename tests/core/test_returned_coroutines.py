"""Functions that are no coroutine functions, but return a coroutine: lambdas, and wrappers that do not say so."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry import trace

import lucidic as lai
from lucidic.testing import session_id_of


tracer = trace.get_tracer("user")


async def work(name="work"):
    """Leave a span before and one after a pause."""
    with tracer.start_as_current_span(f"{name} before"):
        await asyncio.sleep(0)
    with tracer.start_as_current_span(f"{name} after"):
        return lai.current_session_id()


WAYS = {
    "run_in_session": lambda: lai.run_in_session("a-1", lambda: work()),
    "run_session": lambda: lai.run_session(lambda: work(), init_params={"session_id": "a-1"}),
    "decorator": lambda: lai.session(session_id="a-1")(lambda: work())(),
    "bind": lambda: lai.bind_session("a-1")(lambda: lai.bind(lambda: work()))()(),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_coroutine_runs_in_the_session(captured, way):
    """Awaited later, in another session's block or as a task, it is in the session that it was made in."""

    async def main():
        made = WAYS[way]()
        assert lai.current_session_id() is None
        with lai.bind_session("b-1"):
            assert "a-1" == await made
            assert "a-1" == await asyncio.create_task(WAYS[way]())
            assert "b-1" == lai.current_session_id()

    asyncio.run(main())
    assert ["a-1"] * 4 == [session_id_of(span) for span in captured.spans]


def test_the_session_ends_with_the_coroutine(captured):
    """``session()`` around it ends when it does, and says whether it failed."""
    ended = []

    async def failing():
        ended.extend(record for record in captured.sessions if record.event == "end")
        raise LookupError

    async def main():
        with pytest.raises(LookupError):
            await lai.run_session(lambda: failing(), init_params={"session_id": "a-1"})

    asyncio.run(main())
    last = captured.sessions[-1]
    assert ([], "end", False) == (ended, last.event, last.fields["is_successful"])


def test_many_share_one_scope(captured):
    """Each call of a decorated function holds the session on its own, while others begin and end."""
    begun = []

    async def one(name, others):
        with tracer.start_as_current_span(name):
            begun.append(name)
            while len(begun) < others:
                await asyncio.sleep(0)
        return lai.current_session_id()

    decorated = lai.bind_session("a-1")(lambda *arguments: one(*arguments))

    async def main():
        return await asyncio.gather(decorated("x", 1), decorated("y", 3), decorated("z", 2))

    assert ["a-1"] * 3 == asyncio.run(main())
    assert {"x": "a-1", "y": "a-1", "z": "a-1"} == captured.session_ids()
    assert lai.current_session_id() is None
