"""A provider for the documents' snippets."""

from __future__ import annotations

import pytest

from lucidic.testing import ScriptedServer


@pytest.fixture
def server(monkeypatch):
    """A scripted provider that OpenAI's client finds by itself."""
    with ScriptedServer() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.openai_url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        yield running
