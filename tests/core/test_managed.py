"""Generators under context managers, exit stacks and fixtures: suspended on purpose, while their block is in use."""

from __future__ import annotations

import asyncio
from contextlib import (
    AsyncExitStack,
    ExitStack,
)

import pytest
from tests.core.generators import A, B, C, amanaged, holding, managed, span


pytestmark = pytest.mark.usefixtures("nothing_stays_bound")


def test_context_managers_of_generators_nest(captured):
    """A session in a context manager inside another one's holds until it is left, then the outer one's."""
    with managed(A):
        with managed(B):
            span("inner")
        span("outer")
    span("outside")

    assert {"inner": B, "outer": A, "outside": None} == captured.session_ids()


def test_an_exit_stack_of_context_managers_nests(captured):
    """The same on an exit stack, where nobody is in the frame that entered them."""
    with ExitStack() as stack:
        for session_id in (A, B, C):
            stack.enter_context(managed(session_id))
            span(f"in {session_id}")
    span("outside")

    assert {f"in {A}": A, f"in {B}": B, f"in {C}": C, "outside": None} == captured.session_ids()


def test_async_context_managers_nest_and_their_tasks_inherit(captured):
    """Async context managers, and tasks started inside the inner one."""

    async def work():
        await asyncio.sleep(0)
        span("task")

    async def main():
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(amanaged(A))
            span("outer")
            await stack.enter_async_context(amanaged(B))
            await asyncio.gather(work(), work())
        span("outside")

    asyncio.run(main())

    assert {"outer": A, "task": B, "outside": None} == captured.session_ids()


def test_generators_driven_as_fixtures_nest(captured):
    """What drives a generator to its yield and on at the end, as test runners do, has its session in between."""
    outer, inner = holding(A, "in outer"), holding(B, "in inner")
    next(outer)
    next(inner)
    span("body")
    next(inner, None)
    span("after inner")
    next(outer, None)
    span("outside")

    assert {
        "in outer": A,
        "in inner": B,
        "body": B,
        "after inner": A,
        "outside": None,
    } == captured.session_ids()
