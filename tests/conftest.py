"""A clean slate for every test: a home of its own, no binding, internal errors raised."""

from __future__ import annotations

import hypothesis
import pytest

from lucidic import _binding, _guard
from lucidic._runtime import replace_runtime
from lucidic.testing import capture_spans


# A busy machine is no failure of the code under test.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")


@pytest.fixture(autouse=True)
def _clean_slate(tmp_path, monkeypatch):
    for variable in ("LUCIDIC_API_KEY", "LUCIDIC_AGENT_ID", "OTEL_EXPORTER_OTLP_ENDPOINT", "OPENAI_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("LUCIDIC_HOME", str(tmp_path / "lucidic-home"))
    monkeypatch.setattr(_guard.state, "reraise", True)
    monkeypatch.setattr(_guard.state, "last_logged", {})
    _binding.clear_all()
    before = replace_runtime(None)
    yield
    made = replace_runtime(before)
    if made is not None:
        made.close()
        if made.has_exporter:
            made.exporter.shutdown(5.0)
            if made.exporter.store is not None:
                made.exporter.store.close()
    _binding.clear_all()


@pytest.fixture
def captured():
    """What the test's spans and sessions leave, in memory."""
    with capture_spans() as spans:
        yield spans
