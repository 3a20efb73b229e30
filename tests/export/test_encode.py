"""The hand-written encoder against the library's."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from lucidic._export._decode import decode_span
from lucidic._export._encode import encode_request, encode_resource, encode_scope, encode_span, raw_attributes


text = st.text(st.characters(codec="utf-8"), max_size=40)
int64 = st.integers(-(2**63), 2**63 - 1)
scalar = st.one_of(text, st.booleans(), int64, st.floats(), st.binary(max_size=20))
value = st.recursive(
    scalar | st.none(),
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
attributes = st.dictionaries(text, value, max_size=8)
time_ns = st.integers(0, 2**63 - 1)
states = st.just(TraceState()) | st.just(TraceState([("a", "1"), ("b@c", "x=y")]))
contexts = st.builds(
    SpanContext,
    trace_id=st.integers(1, 2**128 - 1),
    span_id=st.integers(1, 2**64 - 1),
    is_remote=st.booleans(),
    trace_flags=st.just(TraceFlags(1)),
    trace_state=states,
)
statuses = st.one_of(
    st.builds(Status, st.sampled_from([StatusCode.UNSET, StatusCode.OK])),
    st.builds(Status, st.just(StatusCode.ERROR), st.none() | text),
)
spans = st.builds(
    ReadableSpan,
    name=text,
    context=contexts,
    parent=st.none() | contexts,
    resource=st.builds(Resource, attributes, st.just("") | text),
    attributes=attributes,
    events=st.lists(st.builds(Event, name=text, attributes=attributes, timestamp=time_ns), max_size=3),
    links=st.lists(st.builds(Link, context=contexts, attributes=attributes), max_size=3),
    kind=st.sampled_from(SpanKind),
    status=statuses,
    start_time=time_ns,
    end_time=time_ns,
    instrumentation_scope=st.builds(
        InstrumentationScope,
        name=text,
        version=st.none() | text,
        schema_url=text,
        attributes=st.none() | attributes,
    ),
)


def test_attributes_are_read_without_the_sdks_mapping():
    """The SDK still keeps attributes in a dict behind its mapping; where it does not, spans only cost more."""
    span = TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span("s", attributes={"key": "value"})
    assert type(raw_attributes(span)) is dict
    span.end()
    assert raw_attributes(span._readable_span()) == {"key": "value"}


def by_hand(span: ReadableSpan) -> bytes:
    scope = span.instrumentation_scope
    scopes = [(encode_scope(scope), scope.schema_url if scope else "", [encode_span(span)])]
    return encode_request([(encode_resource(span.resource), span.resource.schema_url, scopes)])


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(spans)
def test_bytes_are_the_librarys(span):
    """A span is encoded to the very bytes that the OTLP library makes of it."""
    assert encode_spans([span]).SerializeToString() == by_hand(span)


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(spans)
def test_decoding_gives_the_span_back(span):
    """What the store decodes is what the span had."""
    found = decode_span(encode_span(span), session_id=None, scope=encode_scope(span.instrumentation_scope))
    assert span.name == found.name
    assert span.kind.name == found.kind
    assert (span.start_time, span.end_time) == (found.start_ns, found.end_ns)
    assert span.status.status_code.name == found.status
    assert (span.status.description or "") == found.status_message
    assert list(span.attributes) == list(found.attributes)
    assert [event.name for event in span.events] == [event.name for event in found.events]
    assert [f"{link.context.span_id:016x}" for link in span.links] == [link.span_id for link in found.links]
    assert (f"{span.parent.span_id:016x}" if span.parent else None) == found.parent_span_id
