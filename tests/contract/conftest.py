"""The adapters under contract: the same runs on each, and the mixed stack."""

from __future__ import annotations

import pytest
from tests.attribution.workloads_agents import OpenAIAgents, PydanticAI
from tests.attribution.workloads_langchain import AgentWithTools
from tests.attribution.workloads_mixed import Mixed


MAKERS = {
    "langchain": AgentWithTools,
    "pydantic_ai": PydanticAI,
    "openai_agents": OpenAIAgents,
    "mixed": Mixed,
}


@pytest.fixture(params=MAKERS)
def workload(request):
    """A workload of each adapter, and of all three together."""
    return MAKERS[request.param]()


@pytest.fixture
def traced(workload, captured):
    """The workload with its adapter switched on."""
    with workload.instrumented():
        yield workload
