"""Ids, kind and root I/O survive OpenTelemetry's attribute limit."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import SpanLimits, TracerProvider

from lucidic.adapterkit import AdapterOptions, Message, io_attributes, llm_attributes, make_tracer


KEPT = (
    "lucidic.session_id",
    "session.id",
    "gen_ai.conversation.id",
    "openinference.span.kind",
    "input.value",
    "output.value",
)


@pytest.mark.parametrize("limit", [120, 32])
def test_a_limit_that_the_user_chose_drops_neither_ids_nor_kind_nor_words(captured, limit):
    """With a limit of 120 or 32 attributes a span of 300 keeps what a reader needs."""
    provider = TracerProvider(shutdown_on_exit=False, span_limits=SpanLimits(max_span_attributes=limit))
    tracer = make_tracer("test", AdapterOptions(session_id="a-long-history-1", tracer_provider=provider))
    span = tracer.start("model", "LLM", attributes=io_attributes("question"))

    span.set(llm_attributes(input_messages=[Message("user", f"message {n}") for n in range(150)]))
    span.end(attributes=io_attributes(output="answer"))

    attributes = captured.named("model").attributes
    assert limit == len(attributes)
    assert set(KEPT) <= set(attributes)


@pytest.mark.parametrize(
    "provider", [None, TracerProvider(shutdown_on_exit=False)], ids=["ours", "the user's"]
)
def test_a_history_of_150_messages_is_kept_whole(captured, provider):
    """OpenTelemetry's default limit of 128 attributes does not hold for our spans, whoever made the provider."""
    span = make_tracer("test", AdapterOptions(tracer_provider=provider)).start("model", "LLM")
    span.end(attributes=llm_attributes(input_messages=[Message("user", f"message {n}") for n in range(150)]))

    assert "message 149" == captured.named("model").attributes["llm.input_messages.149.message.content"]
