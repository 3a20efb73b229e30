from __future__ import annotations

import sys
from pathlib import Path

import pytest

import lucidic as lai
from lucidic._export import _hosted_registry
from lucidic.testing import FakeLucidic


sys.path.insert(0, str(Path(__file__).parent))

HOSTED_VARIABLES = (
    "LUCIDIC_BASE_URL",
    "LUCIDIC_REGION",
    "LUCIDIC_DEBUG",
    "LUCIDIC_TIMEOUT",
    "LUCIDIC_BLOB_THRESHOLD",
)


@pytest.fixture(autouse=True)
def _no_memory_of_keys(monkeypatch):
    monkeypatch.setattr(_hosted_registry, "_unanswered", {})
    for variable in HOSTED_VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def fake():
    """A hosted API that keeps the ids it is given."""
    return FakeLucidic()


@pytest.fixture
def hosted(fake, monkeypatch):
    """The same over HTTP, as what the environment names."""
    with fake.serve() as url:
        monkeypatch.setenv("LUCIDIC_BASE_URL", url)
        monkeypatch.setenv("LUCIDIC_API_KEY", "key-1")
        monkeypatch.setenv("LUCIDIC_AGENT_ID", "agent-1")
        yield fake
        fake.heal()
        fake.denied.clear()
        lai.shutdown()
