"""Ids, kind and root I/O survive OpenTelemetry's attribute limit."""

from __future__ import annotations

from opentelemetry.sdk.trace import TracerProvider

from lucidic.adapterkit import AdapterOptions, Message, io_attributes, llm_attributes, make_tracer


KEPT = ("lucidic.session_id", "session.id", "gen_ai.conversation.id", "openinference.span.kind", "input.value", "output.value")


def test_a_long_history_drops_neither_ids_nor_kind_nor_words(captured):
    """With OpenTelemetry's default limit of 128 attributes a span of 300 keeps what a reader needs."""
    provider = TracerProvider(shutdown_on_exit=False)
    tracer = make_tracer("test", AdapterOptions(session_id="a-long-history-1", tracer_provider=provider))
    span = tracer.start("model", "LLM", attributes=io_attributes("question"))

    span.set(llm_attributes(input_messages=[Message("user", f"message {n}") for n in range(150)]))
    span.end(attributes=io_attributes(output="answer"))

    attributes = captured.named("model").attributes
    assert 128 == len(attributes)
    assert set(KEPT) <= set(attributes)


def test_our_own_provider_keeps_every_message(captured):
    """Where we make the provider, a history of 150 messages is kept whole."""
    span = make_tracer("test", AdapterOptions()).start("model", "LLM")
    span.end(attributes=llm_attributes(input_messages=[Message("user", f"message {n}") for n in range(150)]))

    assert "message 149" == captured.named("model").attributes["llm.input_messages.149.message.content"]
