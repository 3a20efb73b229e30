"""The real SDK and the real ``openai`` client against a script, with our processor and nobody else's."""

from __future__ import annotations

import agents
import pytest
from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, SQLiteSession
from agents.tracing import get_trace_provider
from openai import AsyncOpenAI

from lucidic.openai_agents import LucidicTracingProcessor, instrument
from lucidic.testing import ScriptedServer
from lucidic_adapters.openai_agents import _hints


@pytest.fixture(autouse=True)
def _only_ours(monkeypatch):
    """No upload to OpenAI, tracing on, and no hint given yet."""
    provider = get_trace_provider()
    before = provider._multi_processor._processors
    agents.set_trace_processors([])
    agents.set_tracing_disabled(False)
    monkeypatch.setattr(_hints, "_given", set())
    yield
    agents.set_tracing_disabled(False)
    provider.set_processors(list(before))


@pytest.fixture
def traced(captured):
    """What runs leave under ``instrument()``."""
    undo = instrument()
    yield captured
    undo()


@pytest.fixture
def bare(captured):
    """What runs leave with the processor alone."""
    agents.add_trace_processor(LucidicTracingProcessor())
    return captured


@pytest.fixture(params=["traced", "bare"])
def either(request):
    """What runs leave, under ``instrument()`` and with the processor alone."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def sqlite():
    """Make SDK sessions in memory, closed after the test: ``sqlite("id")``."""
    opened = []

    def make(session_id, kind=SQLiteSession):
        opened.append(kind(session_id))
        return opened[-1]

    yield make
    for session in opened:
        session.close()


class Scripted:
    """Agents whose model is the real client against a scripted server."""

    def __init__(self, client):
        self.client = client

    def responses(self, name="m"):
        return OpenAIResponsesModel(name, openai_client=self.client)

    def chat(self, name="m"):
        return OpenAIChatCompletionsModel(name, openai_client=self.client)

    def agent(self, name="Guide", *, chat=False, **options):
        model = self.chat("gpt-4.1") if chat else self.responses("gpt-4.1")
        return Agent(name=name, model=model, **options)


@pytest.fixture
async def scripted():
    """Make agents for a script: ``scripted([Reply(…)])``."""
    opened = []

    def start(script=None):
        server = (ScriptedServer() if script is None else ScriptedServer(script)).start()
        client = AsyncOpenAI(base_url=server.openai_url, api_key="none", max_retries=0)
        opened.append((server, client))
        made = Scripted(client)
        made.server = server
        return made

    yield start
    for server, client in opened:
        await client.close()
        server.stop()
