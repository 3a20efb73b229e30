"""What tracing PydanticAI costs: no instrumentation, PydanticAI's own, OpenInference's and ours, in one run.

Run it with ``python benchmarks/pydantic_ai.py [--rounds N]``; OpenInference's needs the package
``openinference-instrumentation-pydantic-ai``. Each figure is the median over all rounds of a run's CPU time, the
subjects in turn; ``added`` is what is left without the uninstrumented run. OTLP encoding is included, by the
encoder that each exports with: OpenTelemetry's for the others, the journal's for ours. On a busy machine
the figures say little: compare several runs.
"""

# ruff: noqa: E402  # the search path is put right before the framework is imported

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path


# This file has the framework's name: its folder must not be looked in first.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from pydantic_ai import Agent
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, ToolCallPart, UserPromptPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.instrumented import InstrumentationSettings

import lucidic as lai
from lucidic._export._encode import encode_span
from lucidic.testing import capture_spans


RUNS = 4
"""Runs of the agent in one measurement."""
WORDS = "The quick brown fox jumps over the lazy dog while the band plays on. " * 4


def as_opentelemetry(span) -> bytes:
    """Encode a span as OpenTelemetry's OTLP exporter does."""
    return encode_spans([span]).SerializeToString()


class Meter(SpanProcessor):
    """Encodes every span as the exporter that goes with the tracer does, and counts."""

    def __init__(self, encode=as_opentelemetry) -> None:
        self.encode = encode
        self.ended = []

    def on_end(self, span) -> None:
        self.encode(span)
        self.ended.append(span)

    @property
    def spans(self) -> int:
        return len(self.ended)

    @property
    def bytes(self) -> int:
        """What the spans take in OTLP, counted alike for all, and outside of the time that is measured."""
        return sum(len(as_opentelemetry(span)) for span in self.ended)


@contextlib.contextmanager
def nothing(provider: TracerProvider, meter: Meter) -> Iterator[None]:
    yield


@contextlib.contextmanager
def native(provider: TracerProvider, meter: Meter) -> Iterator[None]:
    provider.add_span_processor(meter)
    Agent.instrument_all(InstrumentationSettings(tracer_provider=provider))
    try:
        yield
    finally:
        Agent.instrument_all(False)


@contextlib.contextmanager
def openinference(provider: TracerProvider, meter: Meter) -> Iterator[None]:
    from openinference.instrumentation.pydantic_ai import OpenInferenceSpanProcessor

    provider.add_span_processor(OpenInferenceSpanProcessor())
    with native(provider, meter):
        yield


@contextlib.contextmanager
def ours(provider: TracerProvider, meter: Meter) -> Iterator[None]:
    with capture_spans() as captured, lai.instrument("pydantic_ai", tracer_provider=provider):
        meter.encode = encode_span
        provider.add_span_processor(meter)
        with lai.bind_session("a-session-of-the-benchmark"):
            yield
        captured.clear()


SUBJECTS = {"nothing": nothing, "native": native, "openinference": openinference, "lucidic": ours}


def agent_of(steps: int, before: int) -> Agent:
    """Make an agent that calls a tool ``steps`` times in turn, then answers; ``before``: messages it starts with."""

    def answer(messages, info):
        taken = (len(messages) - before - 1) // 2
        if taken < steps:
            return ModelResponse(
                parts=[ToolCallPart("look_up", {"what": WORDS[:40]}, tool_call_id=f"c{taken}")]
            )
        return ModelResponse(parts=[TextPart(WORDS)])

    agent = Agent(FunctionModel(answer, model_name="bench"), name="bench", instructions="Be brief and kind.")

    @agent.tool_plain
    def look_up(what: str) -> str:
        """Look something up."""
        return WORDS

    return agent


def history_of(count: int) -> list:
    found = []
    for number in range(count // 2):
        found.append(ModelRequest(parts=[UserPromptPart(f"{number}: {WORDS}")]))
        found.append(ModelResponse(parts=[TextPart(f"{number}: {WORDS}")]))
    return found


def measure(subject: str, steps: int, messages: int) -> tuple[float, Meter]:
    """Return the least CPU seconds of a run, and what was exported of all."""
    provider, meter = TracerProvider(shutdown_on_exit=False), Meter()
    agent, history = agent_of(steps, messages), history_of(messages)

    async def work() -> float:
        least = float("inf")
        for _ in range(RUNS):
            begin = time.process_time()
            await agent.run("What now?", message_history=list(history))
            least = min(least, time.process_time() - begin)
        return least

    with SUBJECTS[subject](provider, meter):
        gc.collect()
        gc.disable()
        spent = asyncio.run(work())
        gc.enable()
    return spent, meter


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    for title, steps, messages in (
        ("small: 2 tools, no history", 2, 0),
        ("long: 10 tools, 60 messages", 10, 60),
    ):
        print(f"\n{title}")
        times: dict[str, list[float]] = {}
        meters: dict[str, Meter] = {}
        for _ in range(rounds):
            for subject in SUBJECTS:
                try:
                    spent, meters[subject] = measure(subject, steps, messages)
                except ImportError:
                    continue
                times.setdefault(subject, []).append(spent)
        best = {subject: statistics.median(found) for subject, found in times.items()}
        base = best["nothing"]
        peer = best.get("openinference")
        for subject, spent in best.items():
            added, meter = spent - base, meters[subject]
            share = f"{added / (peer - base):5.2f} of OI's CPU" if peer else ""
            size = meter.bytes / RUNS
            bytes_share = f"{meter.bytes / meters['openinference'].bytes:5.2f} of OI's bytes" if peer else ""
            print(
                f"  {subject:14} {spent * 1e3:8.2f} ms a run  added {added * 1e3:7.2f} ms  {share}"
                f"  {meter.spans // RUNS:3} spans  {size / 1e3:8.1f} kB  {bytes_share}"
            )


if __name__ == "__main__":
    main()
