"""Beside what its users add to PydanticAI: Logfire, MCP servers, evals. ``make pydantic-ai-companions`` has all."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel

import lucidic as lai


A = "conversation-of-ada-0001"


@pytest.fixture
def logfire():
    """Logfire, with a function that configures it as its users do, sending nothing, and returns what it exports."""
    found = pytest.importorskip("logfire", reason="Logfire is not installed: make pydantic-ai-companions")

    def configure():
        exporter = InMemorySpanExporter()
        processors = [SimpleSpanProcessor(exporter)]
        found.configure(
            send_to_logfire=False, console=False, metrics=False, additional_span_processors=processors
        )
        return exporter

    yield found, configure
    found.shutdown()


def agent_with_a_tool():
    agent = Agent(TestModel(), name="weather")

    @agent.tool_plain
    def look(city: str) -> str:
        with trace.get_tracer("users-code").start_as_current_span("user span"):
            return "sunny"

    return agent


@pytest.mark.parametrize("again", [False, True])
def test_logfire_in_the_same_process(captured, logfire, again):
    """With Logfire's provider, which scrubs keys with "session", our own pipeline has ids, kinds and messages.

    Also after a second ``configure()``, as in a notebook's cell that is run again.
    """
    logfire, configure = logfire
    exported = configure()
    logfire.instrument_pydantic_ai()
    with lai.instrument("pydantic_ai"), lai.bind_session(A):
        agent_with_a_tool().run_sync("hello")
        if again:
            captured.clear()
            exported = configure()
            agent_with_a_tool().run_sync("hello")
    Agent.instrument_all(False)
    ours = [span for span in captured.spans if span.name != "user span"]
    assert {span.attributes["session.id"] for span in captured.spans} == {A}
    assert sorted(span.attributes["openinference.span.kind"] for span in ours) == [
        "AGENT",
        "LLM",
        "LLM",
        "TOOL",
    ]
    theirs = {span.name: span for span in exported.get_finished_spans()}
    assert theirs["user span"].context.trace_id == ours[0].context.trace_id


def test_logfires_own_spans_go_on(captured, logfire):
    """An agent that Logfire instruments on its own keeps its spans, as PydanticAI makes them."""
    logfire, configure = logfire
    exported = configure()
    agent = agent_with_a_tool()
    logfire.instrument_pydantic_ai(agent)
    with lai.instrument("pydantic_ai"), lai.bind_session(A):
        agent.run_sync("hello")
    theirs = {span.name: dict(span.attributes) for span in exported.get_finished_spans()}
    chat = next(found for name, found in theirs.items() if name.startswith("chat"))
    assert "openinference.span.kind" not in chat
    assert "hello" in chat["gen_ai.input.messages"]


async def test_an_mcp_server(traced, sessions):
    """A call of an MCP tool is one tool's run; the client's and the server's own spans are in its session."""
    fastmcp = pytest.importorskip("fastmcp", reason="fastmcp is not installed: make pydantic-ai-companions")
    from pydantic_ai.mcp import MCPToolset

    server = fastmcp.FastMCP("weather")

    @server.tool
    def look(city: str) -> str:
        """Look at a city."""
        with trace.get_tracer("users-code").start_as_current_span("in the server"):
            return f"sun in {city}"

    agent = Agent(TestModel(), name="weather", toolsets=[MCPToolset(server)])
    with lai.bind_session(A):
        await agent.run("hello")
    assert sessions() == {A}
    tools = [span for span in traced.spans if span.attributes.get("openinference.span.kind") == "TOOL"]
    assert [span.name for span in tools] == ["execute_tool look"]
    assert "sun in a" in tools[0].attributes["output.value"]
    assert tools[0].attributes["tool.description"] == "Look at a city."
    served = traced.named("in the server")
    assert served.context.trace_id == tools[0].context.trace_id


def test_an_evaluation(captured, logfire):
    """Each case of an evaluation keeps the session that its task binds; the evaluation itself has none."""
    evals = pytest.importorskip(
        "pydantic_evals", reason="pydantic-evals is missing: make pydantic-ai-companions"
    )
    logfire[1]()
    agent = Agent(TestModel(custom_output_text="hi"), name="judged")

    async def task(session: str) -> str:
        with lai.bind_session(session):
            return (await agent.run("hello")).output

    cases = [evals.Case(name=name, inputs=f"session-of-case-{name}") for name in ("one", "two")]
    with lai.instrument("pydantic_ai"):
        report = evals.Dataset(name="greetings", cases=cases).evaluate_sync(task, progress=False)
    assert [case.output for case in report.cases] == ["hi", "hi"]
    runs = [span for span in captured.spans if span.name == "invoke_agent judged"]
    assert {span.attributes["session.id"] for span in runs} == {"session-of-case-one", "session-of-case-two"}
    traces = {}
    for span in captured.spans:
        traces.setdefault(span.context.trace_id, set()).add(span.attributes.get("session.id"))
    assert all(len(ids - {None}) <= 1 for ids in traces.values())
