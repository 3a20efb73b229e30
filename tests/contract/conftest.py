"""The adapters under contract: the same runs on each, and the mixed stack."""

from __future__ import annotations

import pytest
from tests.attribution.impossible import LANGCHAIN_LOSES_ASYNC
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
    if LANGCHAIN_LOSES_ASYNC and request.param in ("langchain", "mixed"):
        pytest.skip("LangChain passes its run to no async code before Python 3.11")
    return MAKERS[request.param]()


@pytest.fixture
def traced(workload, captured):
    """The workload with its adapter switched on."""
    with workload.instrumented():
        yield workload
