"""The validator reads three forms of span."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from lucidic._records import SpanEvent, StoredSpan
from lucidic.testing import Violation, validate_openinference


SAMPLED = TraceFlags(TraceFlags.SAMPLED)
GOOD = {
    "openinference.span.kind": "CHAIN",
    "session.id": "s",
    "input.value": "hello",
    "output.value": "hello to you",
}


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exporter):
    provider = TracerProvider(span_limits=SpanLimits(max_span_attributes=5), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("tests")


def _rules(found):
    return [violation.rule for violation in found]


def test_sdk_spans_are_read(tracer, exporter):
    """Finished spans of OpenTelemetry's SDK are read with parent, status, events and dropped attributes."""
    with tracer.start_as_current_span("root", attributes=GOOD):
        with tracer.start_as_current_span("child", attributes=GOOD) as child:
            child.set_status(Status(StatusCode.ERROR))
        with tracer.start_as_current_span("wide", attributes=GOOD) as wide:
            wide.set_attributes({"a": 1, "b": 2})
    root = exporter.get_finished_spans()[-1]

    found = validate_openinference(exporter.get_finished_spans())

    assert ["K1", "P5", "X1"] == sorted(_rules(found))
    assert {f"{root.context.trace_id:032x}"} == {violation.trace_id for violation in found}


def test_open_sdk_spans_are_reported(tracer):
    """A span that has not ended yet is reported as such."""
    span = tracer.start_span("open", attributes=GOOD)

    assert ["P1"] == _rules(validate_openinference([span]))
    span.end()
    assert [] == validate_openinference([span])


def test_a_remote_parent_of_an_sdk_span_is_no_orphan(tracer, exporter):
    """A parent that came in with a request is not expected among the spans."""
    remote = NonRecordingSpan(SpanContext(1, 2, is_remote=True, trace_flags=SAMPLED))
    local = NonRecordingSpan(SpanContext(3, 4, is_remote=False, trace_flags=SAMPLED))
    for parent in (remote, local):
        tracer.start_span("root", context=set_span_in_context(parent), attributes=GOOD).end()

    found = validate_openinference(exporter.get_finished_spans())

    assert {("P3", f"{3:032x}"), ("S5", f"{3:032x}")} == {(v.rule, v.trace_id) for v in found}


def test_spans_of_the_local_store_are_read():
    """Stored spans are read with their parent, status and events."""
    span = StoredSpan(
        trace_id="t",
        span_id="a",
        parent_span_id=None,
        name="root",
        kind="INTERNAL",
        status="ERROR",
        status_message="",
        start_ns=1,
        end_ns=2,
        session_id="s",
        attributes=GOOD,
        events=(SpanEvent(name="exception", time_ns=1),),
    )

    found = validate_openinference([span])

    assert [("X2", "t", "a", "root")] == [(v.rule, v.trace_id, v.span_id, v.span_name) for v in found]


def test_mappings_need_no_times():
    """A mapping without times is not reported as open; either key names the parent."""
    root = {"trace_id": "t", "span_id": "a", "name": "root", "status": "ok", "attributes": GOOD}
    child = {"trace_id": "t", "span_id": "b", "parent": "a", "name": "child", "attributes": GOOD}

    assert [] == validate_openinference([root, child])


def test_anything_else_is_refused():
    """What is no span in any form raises a clear error."""
    with pytest.raises(TypeError, match="neither a ReadableSpan"):
        validate_openinference(["span"])


def test_nothing_has_no_violations():
    """No spans, no violations."""
    assert [] == validate_openinference([])


def test_a_violation_reads_as_a_line():
    """A violation says severity, rule, reason and span in one line."""
    violation = Violation(
        rule="K1", severity="error", message="kind is missing", trace_id="t", span_id="a", span_name="root"
    )

    assert "error K1: kind is missing [span 'root' a]" == str(violation)
