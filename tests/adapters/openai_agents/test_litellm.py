"""Models of other makers through LiteLLM, whose completion is a fake here: nothing leaves the process."""

from __future__ import annotations

import json

import pytest
from agents import Agent, RunConfig, Runner, function_tool

from lucidic.testing import assert_openinference


litellm = pytest.importorskip("litellm", reason="LiteLLM is not installed")
model = pytest.importorskip("agents.extensions.models.litellm_model")

pytestmark = pytest.mark.filterwarnings("default")  # LiteLLM's own


@function_tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 5},
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}


def completion(messages):
    message = {"role": "assistant", "content": "It is sunny."}
    if all(one["role"] != "tool" for one in messages):
        message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    reason = "tool_calls" if "tool_calls" in message else "stop"
    choice = {"index": 0, "finish_reason": reason, "message": message}
    return litellm.ModelResponse(model="claude-4-sonnet", choices=[choice], usage=USAGE)


async def chunks(messages):
    (choice,) = completion(messages).model_dump()["choices"]
    calls = [{"index": 0, **call} for call in choice["message"].get("tool_calls") or ()]
    delta = {"role": "assistant", "content": choice["message"]["content"], "tool_calls": calls or None}
    for part, reason, usage in ((delta, None, None), ({}, choice["finish_reason"], USAGE)):
        told = {} if usage is None else {"usage": litellm.Usage(**usage)}
        choices = [{"index": 0, "delta": part, "finish_reason": reason}]
        yield litellm.ModelResponseStream(model="claude-4-sonnet", choices=choices, **told)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_run_on_another_makers_model_reads_as_any_other(either, monkeypatch, streamed):
    """Messages, tools, tokens and the maker are told; the maker is the model's, not OpenAI."""

    async def fake(*, messages, stream=False, **_settings):
        return chunks(messages) if stream else completion(messages)

    monkeypatch.setattr(litellm, "acompletion", fake)
    agent = Agent("Guide", model=model.LitellmModel("anthropic/claude-4-sonnet"), tools=[weather])
    if streamed:
        async for _ in Runner.run_streamed(
            agent, "Rome?", run_config=RunConfig(group_id="g-1")
        ).stream_events():
            pass
    else:
        await Runner.run(agent, "Rome?", run_config=RunConfig(group_id="g-1"))
    first, second = [s.attributes for s in either.spans if s.attributes["openinference.span.kind"] == "LLM"]
    assert {"anthropic"} == {first["llm.system"], second["llm.system"]}
    assert "claude-4-sonnet" in first["llm.model_name"]
    assert (20, 9, 29, 5) == tuple(
        first[f"llm.token_count.{name}"]
        for name in ("prompt", "completion", "total", "prompt_details.cache_read")
    )
    assert "weather" == json.loads(first["llm.tools.0.tool.json_schema"])["function"]["name"]
    called = "llm.output_messages.0.message.tool_calls.0.tool_call"
    assert ("call_1", "call_1") == (first[f"{called}.id"], either.named("weather").attributes["tool.id"])
    assert "sunny in Rome" == second["llm.input_messages.2.message.content"]
    assert "It is sunny." == either.named("Agent workflow").attributes["output.value"]
    assert_openinference(either.spans)
