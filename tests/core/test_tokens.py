"""The tokens of a model call are counted once, whoever else traces it."""

from __future__ import annotations

import pytest
from opentelemetry import trace

from lucidic.adapterkit import AdapterOptions, Usage, llm_attributes, make_tracer


TOKENS = {"llm.token_count.prompt": 3, "llm.token_count.total": 5}


def total(captured):
    return sum((span.attributes or {}).get("llm.token_count.total", 0) for span in captured.spans)


@pytest.mark.parametrize("scope", ["openinference.instrumentation.openai", "com.anthropic.sdk.python"])
def test_a_clients_span_below_a_model_call_of_ours_counts_nothing(captured, scope):
    """Below an adapter's model call a client's span keeps its words and loses its token counts."""
    llm = make_tracer("lucidic.test", AdapterOptions()).start("model", "LLM")
    client = trace.get_tracer(scope).start_span(
        "client", context=llm.context, attributes={**TOKENS, "llm.model_name": "m"}
    )
    client.end()
    llm.end(attributes=llm_attributes(usage=Usage(prompt=3, completion=2, total=5)))

    assert 5 == total(captured)
    assert "m" == captured.named("client").attributes["llm.model_name"]
    assert captured.named("client").attributes["lucidic.tokens_counted_above"]


def test_a_model_call_inside_a_tool_is_a_call_of_its_own(captured):
    """A tool's own model call counts its tokens, although a model call stands further up."""
    tracer = make_tracer("lucidic.test", AdapterOptions())
    outer = tracer.start("model", "LLM", attributes=TOKENS)
    tool = tracer.start("tool", "TOOL", parent=outer)
    tracer.start("inner", "LLM", parent=tool, attributes=TOKENS).end()
    tool.end()
    outer.end()

    assert 10 == total(captured)


def test_below_a_users_own_span_tokens_stay(captured):
    """A user's own span may have no counts at all, so what is below it keeps them."""
    with trace.get_tracer("my.app").start_as_current_span(
        "mine", attributes={"openinference.span.kind": "LLM"}
    ):
        make_tracer("lucidic.test", AdapterOptions()).start("model", "LLM", attributes=TOKENS).end()

    assert 5 == total(captured)
