"""The SDK's own doubles of models, which leave their spans empty."""

from __future__ import annotations

import pytest
from agents import Agent, Runner
from agents.usage import Usage


testing = pytest.importorskip("agents.testing")


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_sdks_scripted_model_is_told_in_full(traced, streamed):
    """The SDK's own double, which leaves its spans empty, still shows what it was sent, said and used."""
    usage = Usage(requests=1, input_tokens=9, output_tokens=4, total_tokens=13)
    step = testing.ModelStep(output=[testing.assistant_message("Sunny.")], usage=usage)
    model = testing.ScriptedModel([step], emit_traces=True)
    agent = Agent(name="Guide", instructions="Be brief.", model=model)
    if streamed:
        async for _event in Runner.run_streamed(agent, "Weather?").stream_events():
            pass
    else:
        await Runner.run(agent, "Weather?")
    (call,) = [span for span in traced.spans if span.attributes["openinference.span.kind"] == "LLM"]
    contents = [call.attributes[f"llm.input_messages.{number}.message.content"] for number in (0, 1)]
    assert contents == ["Be brief.", "Weather?"]
    assert call.attributes["llm.output_messages.0.message.content"] == "Sunny."
    assert call.attributes["llm.token_count.total"] == 13
