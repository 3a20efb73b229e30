"""What tracing a LangChain run costs: process CPU beside no handler, in one run.

    python benchmarks/langchain.py [--rounds 5] [--calls 200]

The chain has four runs (sequence, prompt, chat model, parser); streams have 200 tokens. Each subject
gets the same work in a process of its own, round by round in turn, its spans made in full and then dropped; the
best round counts, which is the one least disturbed.
Subjects that are not installed are left out; ``--all`` makes an environment with all of them, once, and
measures there.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import json
import os
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult

from lucidic.testing import capture_spans


TOKENS = 200
OTHERS = (
    "langfuse", "openinference-instrumentation-langchain", "opentelemetry-instrumentation-genai-langchain",
    "opentelemetry-instrumentation-langchain",
)  # fmt: skip
CONTENT = {
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
    "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
    "OTEL_SDK_DISABLED": "false",
}
"""Full content, as the others are told to record it."""


def _chain():
    prompt = ChatPromptTemplate.from_messages([("system", "You are {mood}."), ("human", "{question}")])
    return prompt | FakeListChatModel(responses=["x" * TOKENS]) | StrOutputParser()


CHAIN = _chain()
GIVEN = {"mood": "kind", "question": "What is the weather in Paris, and what should I wear?"}


def sync(config, calls):
    for _ in range(calls):
        CHAIN.invoke(GIVEN, config)


def asynchronous(config, calls):
    async def main():
        for _ in range(calls):
            await CHAIN.ainvoke(GIVEN, config)

    asyncio.run(main())


def stream(config, calls):
    for _ in range(max(1, calls // 10)):
        for _ in CHAIN.stream(GIVEN, config):
            pass


def astream(config, calls):
    async def main():
        for _ in range(max(1, calls // 10)):
            async for _ in CHAIN.astream(GIVEN, config):
                pass

    asyncio.run(main())


CASES = {"sync": sync, "async": asynchronous, "stream": stream, "astream": astream}


class Nowhere(list):
    """Takes spans and forgets them: what delivering them costs is measured elsewhere."""

    def append(self, span):
        pass

    def export(self, spans):
        return SpanExportResult.SUCCESS

    def shutdown(self):
        pass


def provider():
    made = TracerProvider()
    made.add_span_processor(SimpleSpanProcessor(Nowhere()))
    return made


@contextmanager
def nothing():
    yield {}


@contextmanager
def lucidic():
    from lucidic.langchain import LucidicHandler

    with capture_spans() as spans:
        spans.started, spans.spans = Nowhere(), Nowhere()
        yield {"callbacks": [LucidicHandler()]}


@contextmanager
def openinference():
    from openinference.instrumentation.langchain import LangChainInstrumentor

    instrumentor = LangChainInstrumentor()
    instrumentor.instrument(tracer_provider=provider())
    yield {}
    instrumentor.uninstrument()


@contextmanager
def langfuse():
    from langfuse import Langfuse
    from langfuse.langchain import CallbackHandler

    client = Langfuse(
        public_key="pk-none", secret_key="sk-none", base_url="http://127.0.0.1:9",
        span_exporter=Nowhere(), tracer_provider=provider(),
    )  # fmt: skip
    yield {"callbacks": [CallbackHandler(public_key="pk-none")]}
    client.shutdown()


@contextmanager
def traceloop():
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor

    instrumentor = LangchainInstrumentor()
    instrumentor.instrument(tracer_provider=provider())
    yield {}
    instrumentor.uninstrument()


@contextmanager
def opentelemetry_genai():
    from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor

    instrumentor = LangChainInstrumentor()
    instrumentor.instrument(tracer_provider=provider())
    yield {}
    instrumentor.uninstrument()


SUBJECTS = {
    "no handler": (nothing, "langchain_core"),
    "lucidic": (lucidic, "lucidic"),
    "openinference": (openinference, "openinference.instrumentation.langchain"),
    "langfuse": (langfuse, "langfuse.langchain"),
    "opentelemetry (traceloop)": (traceloop, "opentelemetry.instrumentation.langchain"),
    "opentelemetry genai": (opentelemetry_genai, "opentelemetry.instrumentation.genai.langchain"),
}


def measure(rounds, calls):
    """Return the CPU seconds of the best round: {subject: {case: seconds}}.

    Each subject works in a process of its own, because most leave something behind that the next one would pay for.
    """
    found = {subject: {case: [] for case in CASES} for subject in SUBJECTS}
    for _ in range(rounds):
        for subject, (_install, needs) in SUBJECTS.items():
            if not _installed(needs):
                found.pop(subject, None)
                continue
            command = [sys.executable, __file__, "--only", subject, "--calls", str(calls)]
            told = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
            for case, seconds in json.loads(told.stdout.splitlines()[-1]).items():
                found[subject][case].append(seconds)
    return {subject: {case: min(times) for case, times in cases.items()} for subject, cases in found.items()}


def measure_here(subject, calls):
    """Return the CPU seconds of a subject's work in this process: {case: seconds}."""
    warnings.simplefilter("ignore")  # OpenInference's instrumentor calls a deprecated method on every message
    found = {}
    with SUBJECTS[subject][0]() as config:
        for case, run in CASES.items():
            run(config, max(1, calls // 10))  # warm
            gc.collect()
            begun = time.process_time()
            run(config, calls)
            found[case] = time.process_time() - begun
    return found


def _installed(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--all", action="store_true", help="measure in an environment with every subject")
    parser.add_argument("--only", choices=SUBJECTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        print(json.dumps(measure_here(given.only, given.calls)))
        return
    if given.all:
        sys.exit(_measure_elsewhere(given))
    found = measure(given.rounds, given.calls)
    base = found["no handler"]
    print(f"{'':26}" + "".join(f"{case:>10}" for case in CASES) + "   (CPU, ratio to no handler)")
    for subject, cases in found.items():
        print(f"{subject:26}" + "".join(f"{cases[case] / base[case]:10.2f}" for case in CASES))
    print(
        f"{'no handler, ms/call':26}"
        + "".join(f"{1000 * base[case] / _calls(case, given.calls):10.2f}" for case in CASES)
    )


def _measure_elsewhere(given):
    """Measure in an environment of its own: the others' packages are no business of this project's."""
    root = Path(__file__).resolve().parents[1]
    sys.path.insert(0, str(root))
    from tests.environments import make_environment

    python = make_environment(*OTHERS, "--editable", f"{root}[langchain]")
    command = [python, __file__, "--rounds", str(given.rounds), "--calls", str(given.calls)]
    return subprocess.run(command, env={**os.environ, **CONTENT}, check=False).returncode


def _calls(case, calls):
    return max(1, calls // 10) if "stream" in case else calls


if __name__ == "__main__":
    main()
