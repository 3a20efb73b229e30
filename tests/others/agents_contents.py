"""Run the OpenAI Agents SDK under OpenInference's processor and ours: ``python agents_contents.py``.

Prints, as one line of JSON, of each run the spans of models and tools, a pair for each call: what theirs says,
and what ours says of the same call.
"""

from __future__ import annotations

import asyncio
import json

import agents
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
)
from openai import AsyncOpenAI
from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from lucidic.openai_agents import instrument
from lucidic.testing import Reply, ScriptedServer, ToolCall, Usage, capture_spans


KIND = "openinference.span.kind"
IMAGE = [
    {
        "role": "user",
        "content": [
            {"type": "input_text", "text": "What is this?"},
            {"type": "input_image", "image_url": "https://example.org/dog.png", "detail": "auto"},
        ],
    }
]


@function_tool
def weather(city: str) -> str:
    """Tell the weather.

    Args:
        city: Where.
    """
    return f"sunny in {city}"


@function_tool
def broken(x: int) -> str:
    """Fail."""
    raise LookupError("nothing there")


ASK = Reply(
    tool_calls=(ToolCall("weather", {"city": "Rome"}, id="c1"),), usage=Usage(prompt=20, completion=9)
)
ANSWER = Reply(text="It is sunny.", usage=Usage(prompt=40, completion=5, cached=16, reasoning=3))
BOTH = Reply(
    tool_calls=(ToolCall("weather", {"city": "Rome"}, id="c1"), ToolCall("broken", {"x": 1}, id="c2"))
)
BRIEF = {"instructions": "Be brief.", "model_settings": ModelSettings(include_usage=True, temperature=0.5)}
RUNS = {
    "tool": ([ASK, ANSWER], "How is Rome?", {"tools": [weather], **BRIEF}),
    "tools": ([BOTH, ANSWER], "Go.", {"tools": [weather, broken], **BRIEF}),
    "image": ([ANSWER], IMAGE, BRIEF),
    "refusal": ([Reply(refusal="No.")], "Go.", BRIEF),
    "error": ([Reply(status=500, error="out of coffee")], "Go.", BRIEF),
}


async def run(script, words, options, *, chat, streamed):
    make = OpenAIChatCompletionsModel if chat else OpenAIResponsesModel
    with ScriptedServer(script) as server:
        client = AsyncOpenAI(base_url=server.openai_url, api_key="none", max_retries=0)
        agent = Agent("Guide", model=make("gpt-4.1", openai_client=client), **options)
        try:
            if not streamed:
                await Runner.run(agent, words)
            else:
                async for _ in Runner.run_streamed(agent, words).stream_events():
                    pass
        except Exception as error:
            print(type(error).__name__)
        await client.close()


def of_calls(spans):
    """Return the attributes of models' and tools' spans, in the order in which these started."""
    in_order = sorted(spans, key=lambda span: span.start_time)
    return [dict(span.attributes) for span in in_order if span.attributes.get(KIND) in ("LLM", "TOOL")]


async def main():
    seen, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(seen))
    agents.set_trace_processors([])
    OpenAIAgentsInstrumentor().instrument(tracer_provider=provider)
    found = {}
    for name, (script, words, options) in RUNS.items():
        for chat in (False, True):
            for streamed in (False, True):
                seen.clear()
                with capture_spans() as captured:
                    undo = instrument()
                    await run(script, words, options, chat=chat, streamed=streamed)
                    undo()
                of_ours, of_theirs = of_calls(captured.spans), of_calls(seen.get_finished_spans())
                title = f"{name}, {'chat' if chat else 'responses'}{', streamed' if streamed else ''}"
                found[title] = list(zip(of_theirs, of_ours, strict=True))
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
