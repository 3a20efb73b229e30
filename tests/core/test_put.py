"""Attributes go past OpenTelemetry's look at each one of them, and arrive as if they had not."""

from __future__ import annotations

import gc
import weakref

import pytest
from openinference.instrumentation import TraceConfig
from openinference.instrumentation import TracerProvider as OpenInferenceProvider
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import SpanLimits, TracerProvider

from lucidic.adapterkit import AdapterOptions, make_tracer


GIVEN = {"text": "a", "number": 1, "share": 0.5, "flag": True, "list": ["a", "b"], "tuple": (1, 2)}


def test_the_sdk_still_keeps_attributes_where_the_quick_way_puts_them(captured, monkeypatch):
    """Fails when OpenTelemetry's private fields move: then all goes the slow public way."""
    span = make_tracer("test", AdapterOptions()).start("model", "LLM")

    def looked(*_):
        pytest.fail("the SDK looked at each attribute")

    monkeypatch.setattr(BoundedAttributes, "_set_items", looked)
    span.set({"text": "a", "number": 1})
    span.end()

    assert "a" == captured.named("model").attributes["text"]


@pytest.mark.parametrize(
    "limits",
    [SpanLimits(), SpanLimits(max_span_attributes=10), SpanLimits(max_span_attribute_length=3)],
    ids=["none", "count", "length"],
)
def test_attributes_are_what_the_public_way_makes_of_them(captured, limits):
    """Types, order of limits and lengths are OpenTelemetry's, whichever way was taken."""
    provider = TracerProvider(shutdown_on_exit=False, span_limits=limits)
    span = make_tracer("test", AdapterOptions(tracer_provider=provider)).start("ours", "CHAIN")
    plain = provider.get_tracer("plain").start_span("theirs")
    for attributes in (GIVEN, {"text": "longer", "text2": "b"}):
        span.set(attributes)
        plain.set_attributes(attributes)
    span.end()
    plain.end()

    theirs = captured.named("theirs").attributes
    ours = captured.named("ours").attributes
    assert {key: ours.get(key) for key in GIVEN} == {key: theirs.get(key) for key in GIVEN}


def test_what_others_do_to_attributes_is_done_to_ours(captured):
    """A provider whose spans hide content in ``set_attribute`` hides ours, too."""
    provider = OpenInferenceProvider(config=TraceConfig(hide_inputs=True), shutdown_on_exit=False)
    span = make_tracer("test", AdapterOptions(tracer_provider=provider)).start("model", "LLM")
    span.set({"input.value": "a secret"})
    span.end()

    assert "__REDACTED__" == captured.named("model").attributes["input.value"]


def test_an_ended_span_takes_nothing_more(captured):
    """Attributes after the end are dropped, as OpenTelemetry drops them."""
    span = make_tracer("test", AdapterOptions()).start("model", "LLM")
    span.end()
    span.set({"text": "late"})

    assert "text" not in captured.named("model").attributes


def test_an_ended_span_is_freed_without_the_garbage_collector(captured):
    """Nothing of a finished span refers back to it, so that a busy service does not wait for a collection."""
    tracer = make_tracer("test", AdapterOptions())
    gc.disable()
    try:
        span = tracer.start("root", "CHAIN")
        tracer.start("child", "LLM", parent=span).end()
        span.end()
        gone = weakref.ref(span.span)
        captured.started.clear()
        del span
        assert gone() is None
    finally:
        gc.enable()
