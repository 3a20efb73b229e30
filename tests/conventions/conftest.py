from __future__ import annotations

import sys
from pathlib import Path

import pytest

import lucidic as lai
from lucidic._runtime import runtime


sys.path.insert(0, str(Path(__file__).parent))

from backend import Backend


VARIABLES = ("LUCIDIC_CONVENTIONS", "LUCIDIC_ANNOTATIONS", "OPENINFERENCE_ENABLE_GENAI_SEMCONV")


@pytest.fixture
def backend(monkeypatch):
    """An OTLP backend on loopback, as what the environment names."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    with Backend() as made:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
        yield made
        lai.shutdown()


@pytest.fixture
def tracer():
    """Give spans of the user's own; made when asked for, so that ``init()`` may come first."""
    return lambda: runtime().provider().get_tracer("tests")


@pytest.fixture
def turn(tracer):
    """End a span of a session, and give its id and a carrier that was written inside it."""

    def made(session_id="user_7_conv_1"):
        carrier = {}
        with lai.session(session_id=session_id), tracer().start_as_current_span("turn") as span:
            lai.inject(carrier)
        return span, carrier

    return made
