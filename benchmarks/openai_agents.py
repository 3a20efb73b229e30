"""CPU of traced runs of the OpenAI Agents SDK, beside tracing disabled and beside others, in one run.

    python benchmarks/openai_agents.py [--model client|scripted|memory] [--runs 60] [--rounds 20]

A run asks the model twice and calls one tool. The model is one of

- ``client``: the SDK's own with the real ``openai`` client, whose transport answers in this process;
- ``scripted``: the SDK's test double, which gives processors no content at all (only ours finds it);
- ``memory``: full content with no client, which is the least that a run can cost.

Each way of tracing has a process of its own. They take turns, each right after a round without tracing, and the median
of the ratios of such pairs counts, because a machine is not equally quick all the time. Spans go to a receiver that
keeps nothing. Ways whose package is not installed are left out, and said to be; ``disabled`` is
``set_tracing_disabled(True)``.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import json
import statistics
import subprocess
import sys
import time


WAYS = {
    "disabled": None,
    "lucidic": None,
    "lucidic processor alone": None,
    "openinference": "openinference.instrumentation.openai_agents",
    "logfire": "logfire",
}


def install(way):
    """Switch a way of tracing on in this process."""
    import agents

    agents.set_trace_processors([])
    if way == "disabled":
        agents.set_tracing_disabled(True)
    elif way.startswith("lucidic"):
        _install_lucidic(alone=way.endswith("alone"))
    elif way == "openinference":
        from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor

        OpenAIAgentsInstrumentor().instrument(tracer_provider=_provider())
    elif way == "logfire":
        import logfire

        logfire.configure(send_to_logfire=False, console=False, additional_span_processors=[_null()])
        logfire.instrument_openai_agents()


def _install_lucidic(*, alone):
    import agents

    from lucidic.openai_agents import LucidicTracingProcessor, instrument
    from lucidic.testing import CapturedSpans

    class Nowhere(CapturedSpans):
        def span_started(self, span): ...
        def span_ended(self, span): ...

    from lucidic._runtime import runtime

    runtime().use_exporter(Nowhere())
    if alone:
        agents.add_trace_processor(LucidicTracingProcessor())
    else:
        instrument()


def _null():
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans):
            return SpanExportResult.SUCCESS

    return SimpleSpanProcessor(Nowhere())


def _provider():
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider()
    provider.add_span_processor(_null())
    return provider


def make_agent(kind):
    """Return an agent whose model answers with a tool call and, given its result, with a text.

    With it comes what must be called before each run.
    """
    from agents import Agent, function_tool

    @function_tool
    async def weather(city: str) -> str:
        """Tell the weather of a city.

        Args:
            city: The city's name.
        """
        return f"It is sunny in {city}, with 24 degrees and a light wind from the west."

    make, prepare = {"client": _from_client, "memory": _from_memory}.get(kind), _nothing
    if make is None:
        model, prepare = _from_script()
    else:
        model = make()
    agent = Agent("Guide", instructions="You are a helpful guide. Be brief.", model=model, tools=[weather])
    return agent, prepare


def _nothing(): ...


def _from_script():
    from agents.testing import ScriptedModel, assistant_message, function_call

    model = ScriptedModel(emit_traces=True)
    steps = [
        [function_call("weather", {"city": "Rome"}, call_id="call_1")],
        [assistant_message("It is sunny in Rome today, 24 degrees.")],
    ]

    def prepare():
        model._calls.clear()
        model.extend(steps)

    return model, prepare


def _from_client():
    from agents import OpenAIResponsesModel
    from openai import AsyncOpenAI

    try:
        import httpx2 as httpx
    except ImportError:  # openai before 3
        import httpx

    def answer(request):
        body = json.loads(request.content)
        asks = not any(item.get("type") == "function_call_output" for item in body["input"])
        return httpx.Response(200, json=_response(body.get("instructions"), body["tools"], asks=asks))

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return OpenAIResponsesModel("gpt-4.1", openai_client=AsyncOpenAI(api_key="none", http_client=http))


def _from_memory():
    from agents import Model, ModelResponse, Usage
    from agents.tracing import response_span
    from openai.types.responses import Response

    class FromMemory(Model):
        model = "gpt-4.1"

        async def get_response(
            self, system_instructions, input, model_settings, tools, output_schema, handoffs, tracing,
            previous_response_id=None, conversation_id=None, prompt=None,
        ):  # fmt: skip
            with response_span(disabled=tracing.is_disabled()) as span:
                asks = not any(isinstance(i, dict) and i.get("type") == "function_call_output" for i in input)
                offered = [
                    {"type": "function", "name": tool.name, "description": tool.description, "strict": True,
                     "parameters": tool.params_json_schema}
                    for tool in tools
                ]  # fmt: skip
                response = Response.model_validate(_response(system_instructions, offered, asks=asks))
                span.span_data.response = response
                span.span_data.input = input
            usage = Usage(requests=1, input_tokens=120, output_tokens=20, total_tokens=140)
            return ModelResponse(output=response.output, usage=usage, response_id=response.id)

        def stream_response(self, *args, **kwargs):
            raise NotImplementedError

    return FromMemory()


def _response(instructions, tools, *, asks):
    call = {
        "id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "weather", "status": "completed",
        "arguments": '{"city": "Rome"}',
    }  # fmt: skip
    text = {"type": "output_text", "text": "It is sunny in Rome today, 24 degrees.", "annotations": []}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [text],
    }
    return {
        "id": "resp_1", "object": "response", "created_at": 0, "model": "gpt-4.1", "status": "completed",
        "output": [call if asks else message], "instructions": instructions, "parallel_tool_calls": True,
        "temperature": 1.0, "top_p": 1.0, "tool_choice": "auto",
        "tools": tools,
        "usage": {
            "input_tokens": 120, "output_tokens": 20, "total_tokens": 140,
            "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    }  # fmt: skip


def work(way, runs, kind):
    """Run when told to, and print the CPU seconds of each round."""
    from agents import RunConfig, Runner

    install(way)
    agent, prepare = make_agent(kind)

    async def go():
        for _ in range(runs):
            prepare()
            config = RunConfig(group_id="conversation-0001")
            await Runner.run(agent, "How is the weather in Rome today?", run_config=config)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(go())
    for _ in sys.stdin:
        gc.collect()
        start = time.process_time()
        loop.run_until_complete(go())
        print(time.process_time() - start, flush=True)


def compare(runs, rounds, kind):
    """Let the ways take turns, and print what each costs for a run, and compared with no tracing."""
    workers = {}
    for way, package in WAYS.items():
        if package is not None and not _is_installed(package):
            print(f"{way}: not installed")
            continue
        options = ["--way", way, "--runs", str(runs), "--model", kind]
        command = [sys.executable, __file__, *options]
        workers[way] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    traced = [way for way in workers if way != "disabled"]
    times = {way: [] for way in workers}
    ratios = {way: [] for way in traced}
    for _ in range(rounds):
        for way in traced:
            base, taken = play(workers["disabled"]), play(workers[way])
            times["disabled"].append(base)
            times[way].append(taken)
            ratios[way].append(taken / base)
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    for way, taken in times.items():
        cost = 1e6 * statistics.median(taken) / runs
        ratio = statistics.median(ratios.get(way, [1.0]))
        print(f"{way:26} {cost:8.0f} us a run   {ratio:5.2f} x disabled")


def play(worker):
    """Have a worker play one round, and return its CPU seconds."""
    worker.stdin.write("go\n")
    worker.stdin.flush()
    return float(worker.stdout.readline())


def _is_installed(package):
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--model", choices=("client", "scripted", "memory"), default="client")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        work(given.way, given.runs, given.model)
    else:
        compare(given.runs, given.rounds, given.model)
