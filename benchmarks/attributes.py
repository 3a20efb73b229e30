"""How much the attribute builders cost, as ratios: to OpenInference's builders, and to ``json.dumps``.

Run it with ``python benchmarks/attributes.py``; each line is the median of 15 rounds.
"""

from __future__ import annotations

import json
import statistics
import timeit

from openinference.instrumentation import get_llm_attributes

from lucidic import adapterkit


ROUNDS, CALLS = 15, 100
HISTORY = 40
QUESTION = "What is the weather in Zürich? " * 5
ARGUMENTS = '{"city": "Zürich"}'

ours = [
    adapterkit.Message("user", QUESTION),
    adapterkit.Message("assistant", None, [adapterkit.ToolCall("c1", "weather", ARGUMENTS)]),
] * HISTORY
theirs = [
    {"role": "user", "content": QUESTION},
    {
        "role": "assistant",
        "tool_calls": [{"id": "c1", "function": {"name": "weather", "arguments": ARGUMENTS}}],
    },
] * HISTORY
state = {"messages": theirs, "step": 3}


def compare(title, mine, other):
    """Print the median of the rounds' ratios; the two take turns, so that a busy machine slows both."""
    rounds = [
        [timeit.timeit(function, number=CALLS) / CALLS for function in (mine, other)] for _ in range(ROUNDS)
    ]
    ratio = statistics.median(first / second for first, second in rounds)
    first, second = (statistics.median(column) * 1e6 for column in zip(*rounds, strict=True))
    print(f"{title}: {ratio:.2f} ({first:.0f} µs to {second:.0f} µs)")


if __name__ == "__main__":
    compare(
        f"{2 * HISTORY} messages, lucidic to openinference-instrumentation",
        lambda: adapterkit.llm_attributes(model="gpt-4o", provider="openai", input_messages=ours),
        lambda: get_llm_attributes(model_name="gpt-4o", provider="openai", input_messages=theirs),
    )
    compare(
        "a state as JSON, lucidic to json.dumps",
        lambda: adapterkit.dumps(state),
        lambda: json.dumps(state, ensure_ascii=False),
    )
