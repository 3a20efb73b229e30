"""OpenTelemetry's own messages, as the real servers take them."""

from __future__ import annotations

import json

import lucidic as lai
from lucidic import sinks

from .turns import hold_turn


def test_opentelemetrys_messages_say_the_same(phoenix, mlflow, experiment, session_id):
    """With ``gen_ai`` asked for, both backends show what they show without it: the same words, tokens and session."""
    lai.add_sink(sinks.otlp(phoenix.url, conventions=["gen_ai"]))
    lai.add_sink(
        sinks.otlp(mlflow.url, headers={"x-mlflow-experiment-id": experiment}, conventions=["gen_ai"])
    )
    tokens = {"llm.token_count.prompt": 20, "llm.token_count.completion": 5, "llm.token_count.total": 25}
    with lai.bind_session(session_id):
        hold_turn("Where is it?", "On its way.", history=2, more=tokens)
    assert lai.flush(60)
    agent, call = phoenix.wait_for(session_id, 2)
    shown = phoenix.session(session_id)
    (seen,) = mlflow.session(experiment, session_id)

    assert ("Where is it?", "On its way.") == (shown["firstInput"]["value"], shown["lastOutput"]["value"])
    assert 25 == shown["tokenUsage"]["total"]
    assert 25 == json.loads(seen["trace_metadata"]["mlflow.trace.tokenUsage"])["total_tokens"]
    assert ('"Where is it?"', '"On its way."') == (seen["request_preview"], seen["response_preview"])
    for span in (agent, call):
        assert session_id == span["attributes"]["gen_ai.conversation.id"]
        assert "Where is it?" in str(span["attributes"]["gen_ai.input.messages"])
        assert "On its way." in str(span["attributes"]["gen_ai.output.messages"])
    assert (20, 5) == (
        call["attributes"]["gen_ai.usage.input_tokens"],
        call["attributes"]["gen_ai.usage.output_tokens"],
    )
