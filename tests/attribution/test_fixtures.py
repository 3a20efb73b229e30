"""Sessions given by pytest fixtures, sync and async, and nothing left for the tests after them."""

from __future__ import annotations

import os
import subprocess
import sys

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


OF_THE_MODULE = """
import asyncio
import pytest
import pytest_asyncio
from opentelemetry import trace
import lucidic as lai
from lucidic.testing import capture_spans

pytestmark = pytest.mark.asyncio(loop_scope="module")

def span(name):
    with trace.get_tracer("user").start_as_current_span(name):
        pass

@pytest.fixture(scope="module")
def captured():
    with capture_spans() as captured:
        yield captured

@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session(captured):
    async with lai.bind_session("user_0004_fixture"):
        yield captured
    assert lai.current_session_id() is None

@pytest.mark.parametrize("turn", range(3))
async def test_each_test(session, turn):
    async def child():
        await asyncio.sleep(0)
        span(f"child {turn}")

    span(f"test {turn}")
    await asyncio.gather(child(), child())
    async with lai.bind_session(f"user_{turn}_inner_one"):
        span(f"inner {turn}")
    span(f"after {turn}")

    found = session.session_ids()
    assert f"user_{turn}_inner_one" == found.pop(f"inner {turn}")
    assert {"user_0004_fixture"} == {found[f"{name} {turn}"] for name in ("test", "child", "after")}
"""


def test_a_fixture_of_a_module_with_a_loop_of_its_own_gives_each_test_its_session(tmp_path):
    """An async fixture of the module, in one loop for all of its tests: in each, in its tasks, around inner blocks."""
    (tmp_path / "test_module.py").write_text(OF_THE_MODULE)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(tmp_path), str(tmp_path)],
        env={**os.environ, "LUCIDIC_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stdout
    assert "3 passed" in done.stdout
