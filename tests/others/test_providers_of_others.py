"""A user's own TracerProvider, set before or after ours, in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest


COMMON = """
import lucidic as lai
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from lucidic.testing import capture_spans
from lucidic.adapterkit import AdapterOptions, make_tracer

exporter = InMemorySpanExporter()
theirs = TracerProvider()
theirs.add_span_processor(SimpleSpanProcessor(exporter))

def work():
    with trace.get_tracer("user").start_as_current_span("plain"):
        make_tracer("kit", AdapterOptions()).start("ours", "CHAIN").end()
"""

BEFORE = """
trace.set_tracer_provider(theirs)
with capture_spans() as captured:
    with lai.session() as sid:
        work()
"""

AFTER = """
with capture_spans() as captured:
    with lai.session():
        pass
    trace.set_tracer_provider(theirs)
    with lai.session() as sid:
        work()
"""

EARLY_TRACER = """
with capture_spans() as captured:
    with lai.session():
        early = trace.get_tracer("user")  # at the top of a module, mostly

        @early.start_as_current_span("plain")
        def work():
            make_tracer("kit", AdapterOptions()).start("ours", "CHAIN").end()

        with early.start_as_current_span("in ours"):
            pass
    captured.clear()
    trace.set_tracer_provider(theirs)
    with lai.session() as sid:
        work()
"""

CHECK = """
for spans in (exporter.get_finished_spans(), captured.spans):
    assert ["ours", "plain"] == [span.name for span in spans], spans
    assert {sid} == {span.attributes["session.id"] for span in spans}
    assert spans[0].parent.span_id == spans[1].context.span_id
assert trace.get_tracer_provider() is theirs
"""


@pytest.mark.parametrize(
    "order", [BEFORE, AFTER, EARLY_TRACER], ids=["before", "after", "after a tracer was got"]
)
def test_a_users_provider_keeps_its_place_and_sees_every_span_once(order):
    """Set before or after us, the user's provider stays global; its exporter and we see each span once.

    A tracer that was got, and used, while there was ours alone goes over to it.
    """
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", COMMON + order + CHECK],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (0, "") == (ran.returncode, ran.stderr)
