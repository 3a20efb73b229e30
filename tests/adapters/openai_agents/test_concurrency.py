"""Many runs at once: each in its own session and tree, however they are interleaved."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from agents import (
    GuardrailFunctionOutput,
    InputGuardrail,
    InputGuardrailTripwireTriggered,
    RunConfig,
    Runner,
    function_tool,
    trace,
)
from openai import AsyncOpenAI
from opentelemetry import trace as otel_trace

import lucidic as lai
from lucidic.testing import Reply, ScriptedServer, ToolCall


TWO_TOOLS = Reply(tool_calls=(ToolCall("work"), ToolCall("threaded")))


@function_tool
async def work() -> str:
    """Open a span of the user's own."""
    with otel_trace.get_tracer("user").start_as_current_span("mine"):
        await asyncio.sleep(0)
        return "done"


@function_tool
def threaded() -> str:
    """Open a span of the user's own in a thread."""
    with otel_trace.get_tracer("user").start_as_current_span("mine"):
        return "done"


def script(request):
    return "Done." if request.tool_results else TWO_TOOLS


def by_session(captured):
    found = {}
    for span in captured.spans:
        found.setdefault(span.attributes.get("session.id"), []).append(span)
    return found


def assert_whole(captured, sessions, names):
    """Every session has one trace, whole, with exactly these names."""
    found = by_session(captured)
    assert sorted(sessions) == sorted(found, key=str)
    for spans in found.values():
        assert sorted(names) == sorted(span.name for span in spans)
        assert 1 == len({span.context.trace_id for span in spans})
        ids = {span.context.span_id for span in spans}
        assert [None] == [
            span.parent for span in spans if span.parent is None or span.parent.span_id not in ids
        ]


NAMES = [
    "Agent workflow", "run Agent workflow", "Guide", "turn 1", "response", "work", "threaded", "mine", "mine", "turn 2",
    "response",
]  # fmt: skip


async def test_fifty_runs_with_parallel_tools_keep_apart(traced, scripted):
    """50 concurrent runs, async and threaded tools: no span in a wrong session, none missing."""
    agent = scripted(script).agent(tools=[work, threaded])

    async def one(number):
        with lai.bind_session(f"session-{number:04}"):
            await Runner.run(agent, f"Go {number}")

    await asyncio.gather(*(one(number) for number in range(50)))
    assert_whole(traced, [f"session-{number:04}" for number in range(50)], NAMES)


async def test_fifty_streams_read_in_turns_keep_apart(traced, scripted):
    """50 streams, all started before the first is read, one event of each at a time, outside their blocks."""
    agent = scripted(script).agent(tools=[work, threaded])
    streams = []
    for number in range(50):
        with lai.bind_session(f"session-{number:04}"):
            streams.append(Runner.run_streamed(agent, f"Go {number}").stream_events())
    while streams:
        streams = [stream for stream in streams if await anext(stream, None) is not None]
    assert_whole(traced, [f"session-{number:04}" for number in range(50)], NAMES)


def test_runs_in_threads_keep_apart(traced):
    """``run_sync`` in eight threads, a block in each."""
    start = threading.Barrier(8)

    def one(number):
        with ScriptedServer(script) as server, lai.bind_session(f"session-{number:04}"):
            start.wait()
            asyncio.set_event_loop(asyncio.new_event_loop())
            _run_sync(server)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(8)))
    assert_whole(traced, [f"session-{number:04}" for number in range(8)], NAMES)


def _run_sync(server):
    from agents import Agent, OpenAIResponsesModel

    loop = asyncio.get_event_loop_policy().get_event_loop()
    client = AsyncOpenAI(base_url=server.openai_url, api_key="none", max_retries=0)
    model = OpenAIResponsesModel("gpt-4.1", openai_client=client)
    Runner.run_sync(Agent("Guide", model=model, tools=[work, threaded]), "Go")
    loop.run_until_complete(client.close())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


async def test_agents_as_tools_three_deep_keep_apart(traced, scripted):
    """Three levels, several at once: everything below a root has its session and its trace."""

    def nested(request):
        if request.tool_results:
            return "Up."
        if "ask" in str(request.body.get("tools")):
            return Reply(tool_calls=(ToolCall("ask", {"input": "deeper"}),))
        return "Bottom."

    made = scripted(nested)
    agent = made.agent("L3")
    for level in ("L2", "L1"):
        agent = made.agent(level, tools=[agent.as_tool("ask", "Ask.")])
    await asyncio.gather(
        *(Runner.run(agent, "Go", run_config=RunConfig(group_id=f"g-{n}")) for n in range(6))
    )
    names = [span.name for spans in list(by_session(traced).values())[:1] for span in spans]
    assert_whole(traced, [f"g-{number}" for number in range(6)], names)
    graph = {span.name: span.attributes.get("graph.node.parent_id") for span in traced.spans}
    assert (None, "L1", "L2") == tuple(graph[name] for name in ("L1", "L2", "L3"))


async def test_one_trace_id_used_twice_at_once(traced, scripted):
    """Two runs under the same ``RunConfig.trace_id``: two roots, each with its own spans."""
    agent = scripted(script).agent(tools=[work, threaded])
    config = {"trace_id": "trace_" + "ab" * 16}
    await asyncio.gather(
        Runner.run(agent, "Go", run_config=RunConfig(group_id="g-1", **config)),
        Runner.run(agent, "Go", run_config=RunConfig(group_id="g-2", **config)),
    )
    assert_whole(traced, ["g-1", "g-2"], NAMES)
    assert 2 == len({span.context.trace_id for span in traced.spans})


async def test_parallel_handoffs_to_one_name_have_their_own_edges(traced, scripted):
    """Two sub-agents hand over to agents of the same name: each edge starts at its own sub-agent."""

    def route(request):
        offered = str(request.body.get("tools"))
        if request.tool_results and "transfer_to_spec" not in offered:
            return "Done."
        if "transfer_to_spec" in offered:
            return Reply(tool_calls=(ToolCall("transfer_to_spec"),))
        if "ask_a" in offered:
            return Reply(tool_calls=(ToolCall("ask_a", {"input": "x"}), ToolCall("ask_b", {"input": "x"})))
        return "Spec says."

    made = scripted(route)
    subs = [made.agent(name, handoffs=[made.agent("spec")]) for name in ("SubA", "SubB")]
    tools = [sub.as_tool(f"ask_{sub.name[-1].lower()}", "Ask.") for sub in subs]
    await Runner.run(made.agent("Top", tools=tools), "Go")
    by_id = {span.context.span_id: span for span in traced.spans}
    edges = {}
    for span in traced.spans:
        if span.name == "spec":
            step = span
            while step.name not in ("ask_a", "ask_b"):
                step = by_id[step.parent.span_id]
            edges[step.name] = span.attributes["graph.node.parent_id"]
    assert {"ask_a": "SubA", "ask_b": "SubB"} == edges


async def test_parallel_guardrails_have_their_place_and_close_everything(traced, scripted):
    """Guardrails beside the model's first call: a tripwire cancels the call, and every span ends."""
    never = threading.Event()
    asked = asyncio.Event()

    async def wait_for_the_model(*_):
        await asked.wait()
        return GuardrailFunctionOutput(None, tripwire_triggered=True)

    async def harmless(*_):
        return GuardrailFunctionOutput(None, tripwire_triggered=False)

    loop = asyncio.get_running_loop()

    def held(_request):
        loop.call_soon_threadsafe(asked.set)
        return Reply(text="late", gate=never)

    rails = [InputGuardrail(harmless, name="calm"), InputGuardrail(wait_for_the_model, name="wire")]
    try:
        with pytest.raises(InputGuardrailTripwireTriggered):
            await Runner.run(scripted(held).agent(input_guardrails=rails), "Hi", conversation_id="c-1")
    finally:
        never.set()
    assert len(traced.started) == len(traced.spans)
    assert {"c-1"} == set(by_session(traced))
    assert traced.named("response").attributes["lucidic.cancelled"] is True
    parents = {traced.named(name).parent.span_id for name in ("calm", "wire")}
    assert 1 == len(parents)


async def test_the_siblings_of_a_failing_tool_end_as_cancelled(traced, scripted):
    """A tool that fails the run: the tool beside it is cancelled, and both spans end."""
    running = asyncio.Event()

    @function_tool(failure_error_function=None)
    async def slow() -> str:
        running.set()
        await asyncio.Event().wait()
        return "never"

    @function_tool(failure_error_function=None)
    async def failing() -> str:
        await running.wait()
        raise LookupError("nothing there")

    both = Reply(tool_calls=(ToolCall("slow"), ToolCall("failing")))
    with pytest.raises(Exception, match="nothing there"):
        await Runner.run(scripted([both]).agent(tools=[slow, failing]), "Go")
    assert traced.named("slow").attributes["lucidic.cancelled"] is True
    assert "LookupError" in traced.named("failing").status.description
    assert len(traced.started) == len(traced.spans)


async def test_workflows_opened_side_by_side_do_not_mix(traced, scripted):
    """``trace()`` in concurrent tasks, each with user spans in it."""
    agent = scripted().agent()

    async def one(number):
        with trace(f"flow {number}", group_id=f"g-{number}"):
            with otel_trace.get_tracer("user").start_as_current_span("before"):
                await asyncio.sleep(0)
            await Runner.run(agent, "Hi")

    await asyncio.gather(*(one(number) for number in range(8)))
    for session, spans in by_session(traced).items():
        assert f"flow {session[2:]}" in {span.name for span in spans}
        assert 1 == len({span.context.trace_id for span in spans})
