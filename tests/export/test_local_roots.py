"""Spans that are roots for those who never hear of their parent."""

from __future__ import annotations

import pytest
from helpers import tracer_for
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context
from receiver import Receiver

from lucidic._export import Exporter, ExportOptions
from lucidic._export._otlp import OTLPSink
from lucidic._export._otlp_config import otlp_config


MLFLOW = {"x-mlflow-experiment-id": "1"}
REMOTE = set_span_in_context(
    NonRecordingSpan(SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, True, TraceFlags(1)))
)


@pytest.mark.parametrize(
    ("headers", "setting", "is_root"),
    [({}, "", False), (MLFLOW, "", True), (MLFLOW, "false", False), ({}, "true", True)],
)
def test_marked_spans_are_sent_as_roots_where_that_is_wanted(tmp_path, headers, setting, is_root):
    """The parent of a marked span is left out for MLflow and by setting; all else of the span is as it was."""
    with Receiver() as receiver:
        config = otlp_config(receiver.url, headers, {"LUCIDIC_OTLP_LOCAL_ROOTS": setting})
        exporter = Exporter(tmp_path, options=ExportOptions(fsync_window=0), sinks=[OTLPSink(config)])
        tracer = tracer_for(exporter)
        with tracer.start_as_current_span("marked", REMOTE, attributes={"lucidic.local_root": True, "n": 1}):
            tracer.start_span("child", attributes={"said": "lucidic.local_root"}).end()
        assert exporter.flush(20)
        kept = {span.name: span for span in exporter.store.spans()}
        exporter.shutdown(5)
    sent = {span.name: span for span in receiver.spans}

    assert is_root is (sent["marked"].parent_span_id == b"")
    assert sent["marked"].span_id == sent["child"].parent_span_id
    assert {"lucidic.local_root", "n"} == {pair.key for pair in sent["marked"].attributes}
    assert "b7ad6b7169203331" == kept["marked"].parent_span_id


def test_setting_that_is_none_is_refused():
    """A word that is neither true nor false is a clear error."""
    with pytest.raises(Exception, match="LUCIDIC_OTLP_LOCAL_ROOTS"):
        otlp_config("http://localhost:4318", None, {"LUCIDIC_OTLP_LOCAL_ROOTS": "perhaps"})
