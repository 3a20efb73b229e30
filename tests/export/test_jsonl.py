"""The JSON-lines sink."""

from __future__ import annotations

import base64
import json

import pytest
from google.protobuf.json_format import ParseDict
from helpers import tracer_for
from hypothesis import HealthCheck, given, settings
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from test_encode import by_hand, spans

from lucidic._export import Exporter, ExportOptions
from lucidic._export._encode import encode_resource, encode_scope, encode_span
from lucidic._export._jsonl import JSONLinesSink, file_name, traces_data
from lucidic._export._payload import Origin, SpanEntry
from lucidic._export._sink import Batch


def produce(tmp_path, sink) -> Exporter:
    exporter = Exporter(tmp_path / "home", options=ExportOptions(store=False, fsync_window=0), sinks=[sink])
    tracer = tracer_for(exporter)
    for index, session in enumerate(("a", "b", "a", None)):
        attributes = {"n": index, "big": 2**60, "raw": [1.5, 2.5]}
        if session:
            attributes["lucidic.session_id"] = session
        tracer.start_span(f"span-{index}", attributes=attributes).end()
    assert exporter.flush(10)
    return exporter


def spans_in(path) -> list[dict]:
    found = []
    for line in path.read_text().splitlines():
        for resource in json.loads(line)["resourceSpans"]:
            found += [span for scope in resource["scopeSpans"] for span in scope["spans"]]
    return found


def test_one_file_has_all_spans(tmp_path):
    """Every line is OTLP/JSON; ids are hex, enums numbers, 64-bit integers text."""
    path = tmp_path / "spans.jsonl"
    exporter = produce(tmp_path, JSONLinesSink(path))
    found = spans_in(path)
    assert ["span-0", "span-1", "span-2", "span-3"] == [span["name"] for span in found]
    assert (32, 16, 1) == (len(found[0]["traceId"]), len(found[0]["spanId"]), found[0]["kind"])
    assert isinstance(found[0]["startTimeUnixNano"], str)
    values = {pair["key"]: pair["value"] for pair in found[0]["attributes"]}
    assert {"intValue": str(2**60)} == values["big"]
    exporter.shutdown(5)
    assert 0 == exporter.health().unexplained


def test_one_file_for_each_session(tmp_path):
    """With ``per_session`` every session has a file, and spans without one share one."""
    exporter = produce(tmp_path, JSONLinesSink(tmp_path / "sessions", per_session=True))
    names = {path.name: len(spans_in(path)) for path in (tmp_path / "sessions").iterdir()}
    assert {"a.jsonl": 2, "b.jsonl": 1, "unattributed.jsonl": 1} == names
    exporter.shutdown(5)


@pytest.mark.parametrize(
    "session_id", ["../../etc/passwd", "a/b", "", ".hidden", "unattributed", "x" * 500, "ü"]
)
def test_session_ids_make_safe_file_names(session_id):
    """Whatever a session id holds, its file is in the folder, and no other session has the same one."""
    name = file_name(session_id)
    assert "/" not in name
    assert not name.startswith(".")
    assert name not in {file_name(None), file_name("a_b"), file_name("_")}
    assert len(name) < 200


def test_unfinished_line_is_cut_off(tmp_path):
    """A line that a killed process left unfinished is gone after the next write; every line is JSON."""
    path = tmp_path / "spans.jsonl"
    path.write_bytes(b'{"resourceSpans": []}\n{"resourceSpans": [{"scop')
    exporter = produce(tmp_path, JSONLinesSink(path))
    assert 4 == len(spans_in(path))
    exporter.shutdown(5)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spans)
def test_json_is_the_protobuf_in_json(span):
    """OTLP/JSON of a span, read by the protobuf library, is the span's protobuf."""
    scope = span.instrumentation_scope
    origin = Origin(
        b"o",
        encode_resource(span.resource),
        span.resource.schema_url,
        encode_scope(scope),
        scope.schema_url or "",
    )
    entry = SpanEntry(b"o", 0, 0, 0, 0, 0, 0, None, encode_span(span))
    made = traces_data(Batch((entry,), {b"o": origin}), [entry])
    parsed = ParseDict(_with_base64_ids(json.loads(json.dumps(made))), TracesData())
    expected = TracesData.FromString(by_hand(span))
    # As text, because JSON has one NaN where doubles have many.
    assert str(expected) == str(parsed)


def _with_base64_ids(content):
    """Undo what OTLP/JSON does differently from protobuf's JSON: hex ids."""
    if isinstance(content, list):
        return [_with_base64_ids(item) for item in content]
    if isinstance(content, dict):
        return {
            key: base64.b64encode(bytes.fromhex(value)).decode()
            if key in ("traceId", "spanId", "parentSpanId")
            else _with_base64_ids(value)
            for key, value in content.items()
        }
    return content
