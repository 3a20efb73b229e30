"""The real backends, each started once for all tests, and stories told to them."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import agents
import pytest

import lucidic as lai
from lucidic._export import Store
from lucidic._runtime import runtime
from lucidic.testing import ScriptedServer

from .mlflow import MLflow
from .phoenix import Phoenix
from .stories import script


REQUIREMENTS = Path(__file__).parent / "requirements"
PACKAGES = {Phoenix: "arize-phoenix", MLflow: "mlflow"}
FIXTURES = {"phoenix": Phoenix, "mlflow": MLflow}


def pytest_collection_modifyitems(items):
    """Everything here needs a server."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.backends)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def backends(request, environment, tmp_path_factory):
    """Launch the backends that the chosen tests need, all at once: importing them is what takes its time."""
    wanted = {name for item in request.session.items for name in item.fixturenames} & FIXTURES.keys()
    made = {}
    try:
        for name in sorted(wanted):
            kind = FIXTURES[name]
            package = PACKAGES[kind]
            python = environment(package, constraints=REQUIREMENTS / f"{package}.txt")
            made[name] = kind(python, tmp_path_factory.mktemp(name))
        yield made
    finally:
        for backend in made.values():
            backend.close()


@pytest.fixture(scope="session")
def _phoenix(backends):
    backends["phoenix"].start()
    return backends["phoenix"]


@pytest.fixture(scope="session")
def _mlflow(backends):
    backends["mlflow"].start()
    return backends["mlflow"]


@pytest.fixture
def phoenix(_phoenix):
    """Phoenix, serving."""
    return _phoenix


@pytest.fixture
def mlflow(_mlflow):
    """MLflow, serving."""
    return _mlflow


@pytest.fixture
def to_phoenix(phoenix, monkeypatch):
    """Send this process's spans to Phoenix, as a user would."""
    monkeypatch.setenv("LUCIDIC_OTLP_ENDPOINT", phoenix.url)
    return phoenix


@pytest.fixture
def experiment(mlflow):
    """An experiment of MLflow's, new for the test."""
    return mlflow.experiment()


@pytest.fixture
def to_mlflow(mlflow, experiment, monkeypatch):
    """Send this process's spans to MLflow, as a user would."""
    monkeypatch.setenv("LUCIDIC_OTLP_ENDPOINT", mlflow.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"x-mlflow-experiment-id={experiment}")
    return mlflow


@pytest.fixture
def session_id():
    """An id that no other test uses: Phoenix keeps ids unique over all its projects."""
    return f"user_7_conv_{uuid.uuid4().hex[:12]}"


@pytest.fixture
def tell(session_id):
    """Hold a story's conversation, deliver it, and return the story."""
    agents.set_trace_processors([])  # the SDK's own exporter would send to its backend

    def telling(kind):
        with ScriptedServer(script) as server:
            story = kind(server.openai_url)
            with lai.instrument("pydantic_ai"), lai.instrument("openai_agents"):
                asyncio.run(story.hold(session_id))
        assert lai.flush(60)
        return story

    return telling


@pytest.fixture
def stored():
    """Return what the local store has of a session: the truth that a backend is held to."""

    def read(session_id):
        store = Store(runtime().settings.home)
        try:
            store.catch_up()
            return store.spans(session_id)
        finally:
            store.close()

    return read
