"""A clean slate for every test: a home of its own, no binding, internal errors raised."""

from __future__ import annotations

import os
import subprocess

import hypothesis
import pytest

from lucidic import _binding, _guard
from lucidic._runtime import replace_runtime
from lucidic.testing import capture_spans

from .environments import make_environment


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


@pytest.fixture(scope="session")
def environment():
    """Make an environment of other packages and return its Python; skip, saying why, where that is not possible.

    With ``LUCIDIC_TESTS_NEED_ENVIRONMENTS`` set, as CI has it, that is a failure.
    """

    def make(*requirements, **options):
        try:
            return make_environment(*requirements, **options)
        except subprocess.CalledProcessError as error:
            if os.environ.get("LUCIDIC_TESTS_NEED_ENVIRONMENTS"):
                raise
            last = (error.stderr.strip() or str(error)).splitlines()[-1]
            pytest.skip(f"an environment with {requirements[0]} cannot be made: {last}")

    return make
