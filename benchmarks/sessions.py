"""Which ways of naming a session reach which tracer's spans, in one run.

    python benchmarks/sessions.py [langchain] [pydantic_ai] [openai_agents]

Each way is run under each tracer that is installed, in a process of its own, with models that answer in the
process. A cell says how many of the spans that were made carry the session's id, in an attribute that a backend
groups by (``session.id`` or ``gen_ai.conversation.id``).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import json
import logging
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


HERE = Path(__file__).parent
sys.path = [folder for folder in sys.path if Path(folder or ".").resolve() != HERE]  # named like frameworks
ID = "conversation-1"
KEYS = ("session.id", "gen_ai.conversation.id")


# --- LangChain -----------------------------------------------------------------------------------


def chain():
    from langchain_core.language_models import FakeListChatModel
    from langchain_core.prompts import ChatPromptTemplate

    prompt = ChatPromptTemplate.from_messages([("human", "{question}")])
    return prompt | FakeListChatModel(responses=["An answer."])


def graph():
    from langchain_core.language_models import FakeListChatModel
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import START, MessagesState, StateGraph

    model = FakeListChatModel(responses=["An answer."])
    made = StateGraph(MessagesState)
    made.add_node("answer", lambda state: {"messages": [model.invoke(state["messages"])]})
    made.add_edge(START, "answer")
    return made.compile(checkpointer=InMemorySaver())


def ask_chain(config):
    chain().invoke({"question": "Hello"}, config)


def ask_graph(config):
    graph().invoke({"messages": [("user", "Hello")]}, config)


def streams_in_turn(config):
    """Two conversations, whose streams one thread reads in turn."""
    from openinference.instrumentation import using_session

    def begin(session_id):
        with using_session(session_id):
            stream = chain().stream({"question": session_id}, config)
            next(stream)
            return stream

    streams = [begin(ID), begin("conversation-2")]
    for _ in range(40):
        for stream in streams:
            next(stream, None)


def pool(config):
    """A function that a thread pool runs inside the block."""
    from openinference.instrumentation import using_session

    with ThreadPoolExecutor(1) as threads, using_session(ID):
        threads.submit(ask_chain, config).result()


def in_block(run):
    from openinference.instrumentation import using_session

    def inside(*given):
        with using_session(ID):
            run(*given)

    return inside


LANGCHAIN = {
    "metadata session_id": lambda c: ask_chain({**c, "metadata": {"session_id": ID}}),
    "metadata conversation_id": lambda c: ask_chain({**c, "metadata": {"conversation_id": ID}}),
    "metadata thread_id": lambda c: ask_chain({**c, "metadata": {"thread_id": ID}}),
    "metadata langfuse_session_id": lambda c: ask_chain({**c, "metadata": {"langfuse_session_id": ID}}),
    "configurable thread_id": lambda c: ask_chain({**c, "configurable": {"thread_id": ID}}),
    "configurable thread_id, LangGraph": lambda c: ask_graph({**c, "configurable": {"thread_id": ID}}),
    "using_session block": in_block(ask_chain),
    "two streams in turn, one block each": streams_in_turn,
    "a thread pool inside the block": pool,
}


# --- PydanticAI ----------------------------------------------------------------------------------


def pydantic_agent(**given):
    from pydantic_ai import Agent
    from pydantic_ai.models.test import TestModel

    agent = Agent(TestModel(), name="guide", **given)

    @agent.tool_plain
    def weather(city: str) -> str:
        return f"Sunny in {city}."

    return agent


def history(_):
    agent = pydantic_agent()
    first = agent.run_sync("Hello", conversation_id=ID)
    agent.run_sync("And tomorrow?", message_history=first.all_messages())


PYDANTIC_AI = {
    "conversation_id": lambda _: pydantic_agent().run_sync("Hello", conversation_id=ID),
    "run metadata session_id": lambda _: pydantic_agent().run_sync("Hello", metadata={"session_id": ID}),
    "agent metadata session_id": lambda _: pydantic_agent(metadata={"session_id": ID}).run_sync("Hello"),
    "message history of a conversation": history,
    "using_session block": in_block(lambda _: pydantic_agent().run_sync("Hello")),
}


# --- OpenAI Agents SDK ---------------------------------------------------------------------------


def run_agent(**given):
    from agents import RunConfig, Runner

    spec = importlib.util.spec_from_file_location("agents_benchmark", HERE / "openai_agents.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    agent, _ = module.make_agent("client")
    config = {key: given.pop(key) for key in ("group_id", "trace_metadata") if key in given}
    asyncio.run(Runner.run(agent, "Hello", run_config=RunConfig(**config), **given))


def with_sdk_session(_):
    from agents import SQLiteSession

    session = SQLiteSession(ID)
    run_agent(session=session)
    session.close()


OPENAI_AGENTS = {
    "SQLiteSession": with_sdk_session,
    "conversation_id": lambda _: run_agent(conversation_id=ID),
    "group_id": lambda _: run_agent(group_id=ID),
    "trace metadata session_id": lambda _: run_agent(trace_metadata={"session_id": ID}),
    "using_session block": in_block(lambda _: run_agent()),
}

WAYS = {"langchain": LANGCHAIN, "pydantic_ai": PYDANTIC_AI, "openai_agents": OPENAI_AGENTS}


# --- tracers -------------------------------------------------------------------------------------


def lucidic(framework, provider):
    import lucidic as lai
    from lucidic.testing import capture_spans

    capture_spans().__enter__()
    lai.instrument(framework)
    return {}


def openinference(framework, provider):
    module = importlib.import_module(f"openinference.instrumentation.{framework}")
    if framework == "pydantic_ai":
        from pydantic_ai import Agent

        provider.add_span_processor(module.OpenInferenceSpanProcessor())
        Agent.instrument_all()
    else:
        names = {"langchain": "LangChainInstrumentor", "openai_agents": "OpenAIAgentsInstrumentor"}
        getattr(module, names[framework])().instrument(tracer_provider=provider)
    return {}


def logfire(framework, provider):
    import logfire

    logfire.configure(
        send_to_logfire=False, console=False, additional_span_processors=[SimpleSpanProcessor(FOUND)]
    )
    getattr(logfire, f"instrument_{framework}")()
    return {}


def langfuse(framework, provider):
    from langfuse import Langfuse
    from langfuse.langchain import CallbackHandler

    Langfuse(public_key="pk", secret_key="sk", base_url="http://127.0.0.1:9", tracer_provider=provider)
    return {"callbacks": [CallbackHandler()]}


TRACERS = {
    "lucidic": (lucidic, "lucidic", tuple(WAYS)),
    "OpenInference": (openinference, "openinference.instrumentation.langchain", tuple(WAYS)),
    "logfire": (logfire, "logfire", ("pydantic_ai", "openai_agents")),
    "Langfuse": (langfuse, "langfuse", ("langchain",)),
}
FOUND = InMemorySpanExporter()


def one(tracer, framework, way):
    """Run one cell in this process, and print its spans: how many there are, and how many carry an id."""
    from opentelemetry import trace

    logging.disable()
    warnings.simplefilter("ignore")
    provider = TracerProvider()
    trace.set_tracer_provider(provider)
    if framework == "openai_agents":
        import agents

        agents.set_trace_processors([])  # the SDK's own one would send to its backend
    config = TRACERS[tracer][0](framework, provider)
    provider.add_span_processor(SimpleSpanProcessor(FOUND))
    WAYS[framework][way](config)
    spans = FOUND.get_finished_spans()
    wanted = {ID, "conversation-2"} if way.startswith("two streams") else {ID}
    right = sum(1 for span in spans if _ids(span) and _ids(span) <= wanted)
    whole = len({tuple(_ids(span)) for span in spans}) == len(wanted)
    print(json.dumps([right if whole or len(wanted) == 1 else 0, len(spans)]))


def _ids(span):
    return {span.attributes[key] for key in KEYS if span.attributes.get(key)}


def cell(tracer, framework, way):
    command = [sys.executable, __file__, "--cell", tracer, framework, way]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["failed"])[-1][:40]
    right, made = json.loads(done.stdout.splitlines()[-1])
    return f"{right} of {made}" if made else "no spans"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("frameworks", nargs="*", metavar="FRAMEWORK", default=list(WAYS))
    parser.add_argument("--cell", nargs=3, metavar=("TRACER", "FRAMEWORK", "WAY"))
    given = parser.parse_args()
    if given.cell:
        one(*given.cell)
        return
    for framework in given.frameworks:
        tracers = [name for name, (_, needs, where) in TRACERS.items() if framework in where and _has(needs)]
        print(f"\n| {framework} | " + " | ".join(tracers) + " |\n|---|" + "---|" * len(tracers))
        for way in WAYS[framework]:
            cells = [cell(tracer, framework, way) for tracer in tracers]
            print(f"| {way} | " + " | ".join(cells) + " |", flush=True)


def _has(module):
    with contextlib.suppress(ModuleNotFoundError):
        return importlib.util.find_spec(module) is not None
    return False


if __name__ == "__main__":
    main()
