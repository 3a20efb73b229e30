"""Content is masked once, wherever it was put, before anything is recorded."""

from __future__ import annotations

import pytest
from opentelemetry import trace

from lucidic.adapterkit import AdapterOptions, io_attributes, make_tracer
from lucidic.testing import capture_spans


def stars(text):
    return text.replace("SECRET", "***") + "!"


def everything(span):
    events = [dict(event.attributes) for event in span.events]
    return repr((dict(span.attributes), events, span.status.description))


def test_what_users_put_on_an_adapters_span_is_masked_too():
    """Attributes and exceptions that user code adds to a span of ours are masked, each text once."""
    with capture_spans(masking_function=stars) as captured:
        run = make_tracer("test", AdapterOptions()).start(
            "run", "CHAIN", attributes=io_attributes("a SECRET")
        )
        with trace.use_span(run.span):
            trace.get_current_span().set_attribute("mine", "my SECRET")
            trace.get_current_span().record_exception(ValueError("SECRET"))
        run.end(error=ValueError("SECRET again"))

    span = captured.named("run")

    assert "SECRET" not in everything(span)
    assert "a ***!" == span.attributes["input.value"]
    assert "my ***!" == span.attributes["mine"]
    assert "ValueError: *** again!" == span.status.description


def test_a_secret_that_json_escapes_is_masked():
    """JSON values are masked leaf by leaf, so a quote or a newline in a secret does not hide it."""
    with capture_spans(masking_function=lambda text: text.replace('my"secret\n', "x")) as captured:
        run = make_tracer("test", AdapterOptions()).start(
            "run", "CHAIN", attributes=io_attributes({"k": 'my"secret\n'})
        )
        run.end()

    assert '{"k": "x"}' == captured.named("run").attributes["input.value"]


@pytest.mark.parametrize("broken", [lambda text: 1 / 0, lambda text: None])
def test_a_mask_that_fails_leaves_a_placeholder(broken):
    """A mask that raises or returns no text drops the content and lets the program run on."""
    with capture_spans(masking_function=broken) as captured:
        with trace.get_tracer("user").start_as_current_span("plain", attributes={"text": "SECRET"}):
            pass

    assert "__MASKING_FAILED__" == captured.named("plain").attributes["text"]


def test_content_can_be_left_out_altogether():
    """capture_content=False keeps the tree and the ids, and none of the words."""
    with capture_spans(capture_content=False) as captured:
        run = make_tracer("test", AdapterOptions(session_id="a-real-session-id")).start(
            "run", "TOOL", attributes={**io_attributes("SECRET", "SECRET"), "tool.parameters": "SECRET"}
        )
        run.end(error=ValueError("SECRET"))

    span = captured.named("run")

    assert "SECRET" not in everything(span)
    assert "a-real-session-id" == span.attributes["session.id"]
