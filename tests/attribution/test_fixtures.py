"""Sessions given by pytest fixtures, sync and async, and nothing left for the tests after them."""

from __future__ import annotations

import pytest
from opentelemetry import trace

import lucidic as lai
from lucidic.testing import session_id_of


def span(name):
    with trace.get_tracer("user").start_as_current_span(name):
        pass


@pytest.fixture
def session(captured):
    with lai.bind_session("user_0001_fixture") as session_id:
        yield session_id


@pytest.fixture
async def async_session(captured):
    async with lai.bind_session("user_0002_fixture") as session_id:
        yield session_id


@pytest.fixture
def manual_session(captured):
    lai.set_active_session("user_0003_fixture")
    yield "user_0003_fixture"
    lai.clear_active_session()


def test_a_sync_fixture_gives_a_sync_test_its_session(session, captured):
    """What a fixture binds holds in the test."""
    span("inside")

    assert session == session_id_of(captured.named("inside"))


async def test_a_sync_fixture_gives_an_async_test_its_session(session, captured):
    """What a sync fixture binds holds in the test's loop."""
    span("inside")

    assert session == session_id_of(captured.named("inside"))


async def test_an_async_fixture_gives_an_async_test_its_session(async_session, captured):
    """What an async fixture binds holds in the test."""
    span("inside")

    assert async_session == session_id_of(captured.named("inside"))


def test_a_fixture_may_set_and_clear(manual_session, captured):
    """What a fixture sets holds in the test."""
    span("inside")

    assert manual_session == session_id_of(captured.named("inside"))


def test_nothing_is_left_for_a_sync_test(captured):
    """A test without a fixture has no session, whatever ran before it."""
    span("outside")

    assert session_id_of(captured.named("outside")) is None


async def test_nothing_is_left_for_an_async_test(captured):
    """The same in async."""
    span("outside")

    assert session_id_of(captured.named("outside")) is None
