"""Functions as a service: delivered before the handler returns, and whole after a freeze."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import receiver as plan
from helpers import tracer_for
from opentelemetry import trace
from receiver import Receiver

import lucidic as lai
from lucidic import sinks
from lucidic._export import Exporter, ExportOptions, _http
from lucidic._export._otlp import OTLPSink
from lucidic._export._otlp_config import OTLPConfig
from lucidic.errors import ConfigurationError


class Context:
    """What Lambda hands to a handler, as far as it matters here."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


class AnswersToEverything:
    def __getattr__(self, name):
        return lambda: -1


def work(name: str) -> None:
    trace.get_tracer("handler").start_span(name).end()


@pytest.fixture
def endpoint():
    """A receiver that the process's pipeline delivers to."""
    with Receiver() as receiver:
        lai.init("f")
        lai.add_sink(sinks.otlp(receiver.url))
        yield receiver
        receiver.release.set()


def test_everything_has_arrived_when_a_handler_returns(endpoint):
    """What a handler recorded is at the endpoint before the caller goes on, also when it raises."""

    @lai.flush_on_return
    def handler(event, context):
        """Say what the handler does."""
        work(event)
        if event == "bad":
            raise ValueError(event)
        return event.upper()

    assert "GOOD" == handler("good", context=Context(10))
    assert ["good"] == endpoint.names
    with pytest.raises(ValueError, match="bad"):
        handler("bad", AnswersToEverything())
    assert ["good", "bad"] == endpoint.names
    assert ("handler", "Say what the handler does.") == (handler.__name__, handler.__doc__)


async def test_coroutine_handlers_do_the_same(endpoint):
    """A coroutine function stays one, and its spans have arrived when it returns."""

    @lai.flush_on_return(timeout=5)
    async def handler(event):
        work(event)
        return event

    assert "good" == await handler("good")
    assert ["good"] == endpoint.names


def test_a_hanging_endpoint_costs_the_timeout_and_no_span(endpoint):
    """A handler whose endpoint hangs returns in time, and a later call delivers what was left."""
    waited = []
    real = lai._serverless.flush

    def flush(timeout):
        waited.append(timeout)
        return real(0.05)

    @lai.flush_on_return(timeout=1.5)
    def handler(event, context):
        work(event)

    endpoint.always = plan.hang
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lai._serverless, "flush", flush)
        handler("one", Context(30))
        handler("two", Context(1))
        handler("three", Context(0.1))
    assert [1.5, 0.8, 0.0] == waited
    endpoint.always = plan.ok
    endpoint.release.set()
    assert lai.flush(20)
    assert {"one", "two", "three"} == set(endpoint.names)


def test_misuse_is_said_at_the_decorator():
    """A generator function and a timeout that is none are errors that name the way out."""

    def generator():
        yield

    with pytest.raises(TypeError, match=r"lai\.flush"):
        lai.flush_on_return(generator)
    for wrong in (-1, "soon", float("inf"), None):
        with pytest.raises(ConfigurationError, match="seconds"):
            lai.flush_on_return(timeout=wrong)


def test_handler_without_a_span_starts_nothing(tmp_path):
    """A handler that records nothing makes no pipeline, and returns what it returns."""
    assert 3 == lai.flush_on_return(lambda: 3)()
    assert not lai._runtime.runtime().has_exporter


def test_lambda_keeps_its_state_where_it_may_write():
    """In AWS Lambda the home is in the temporary folder, unless somebody says otherwise."""
    from lucidic._config import default_home

    assert Path("/home/me/.local/state/lucidic") == default_home({"HOME": "/home/me"})
    found = default_home({"HOME": "/home/me", "AWS_LAMBDA_FUNCTION_NAME": "f"})
    assert Path(_temporary()) / "lucidic" == found


def _temporary() -> str:
    import tempfile

    return tempfile.gettempdir()


FROZEN = """
import os, signal, sys
import lucidic as lai
from lucidic import sinks
from opentelemetry import trace
lai.init("f")
lai.add_sink(sinks.otlp(sys.argv[1]))

@lai.flush_on_return(timeout=20)
def handler(name):
    trace.get_tracer("t").start_span(name).end()

handler("first")
print("first", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
handler("second")
print(lai.health().unexplained, lai.flush(20), flush=True)
"""


@pytest.mark.parametrize("way", ["closed", "reset"])
def test_connection_that_died_during_a_freeze(tmp_path, way):
    """When the server has let go of the kept connection while the process was frozen, the next span arrives once."""
    import threading

    let_go = threading.Event()

    def last_answer(handler) -> None:
        plan.ok(handler)
        let_go.wait(20)
        if way == "reset":
            handler.reset()
        handler.close_connection = True

    with Receiver() as receiver:
        receiver.always = last_answer
        environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        process = subprocess.Popen(
            [sys.executable, "-c", FROZEN, receiver.url],
            env={**environment, "LUCIDIC_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert "first\n" == process.stdout.readline()
        _pid, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        receiver.always = plan.ok
        let_go.set()
        os.kill(process.pid, signal.SIGCONT)
        out, err = process.communicate(timeout=60)
        assert "0 True\n" == out, err
        assert 1 == receiver.names.count("second")
        assert len(receiver.accepted) == receiver.distinct


def test_connection_that_was_long_idle_is_not_used_again(tmp_path, monkeypatch):
    """After a jump of either clock a new connection is made: the old one may be dead without anybody saying so."""
    clocks = [1000.0, 2000.0]
    monkeypatch.setattr(_http, "_clocks", lambda: tuple(clocks))
    peers = []

    def note(handler) -> None:
        peers.append(handler.client_address[1])
        plan.ok(handler)

    with Receiver() as receiver:
        receiver.always = note
        sink = OTLPSink(OTLPConfig(endpoint=f"{receiver.url}/v1/traces", gzip=False))
        exporter = Exporter(tmp_path, options=ExportOptions(store=False, linger=0.0), sinks=[sink])
        tracer = tracer_for(exporter)
        for jump in ((1, 1), (1, 1), (0, 3600), (3600, 0), (0, -3600)):
            tracer.start_span("s").end()
            assert exporter.flush(10)
            clocks[0] += jump[0]
            clocks[1] += jump[1]
        tracer.start_span("s").end()
        assert exporter.flush(10)
        exporter.shutdown(5)
    assert 6 == len(peers)
    assert peers[0] == peers[1] == peers[2]
    assert 3 == len(set(peers))
    assert peers[4] == peers[5]
