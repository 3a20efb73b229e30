"""Where OTLP goes, and how long to wait."""

from __future__ import annotations

from datetime import datetime, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucidic._export._backoff import LONGEST, LONGEST_ASKED, SHORTEST, Backoff
from lucidic._export._otlp import OTLPSink
from lucidic._export._otlp_config import OTLPConfig, otlp_config
from lucidic.errors import ConfigurationError


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:1"}, "http://h:1/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:1/p/"}, "http://h:1/p/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://h:1/exact"}, "http://h:1/exact"),
        (
            {"LUCIDIC_OTLP_ENDPOINT": "http://l", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://h"},
            "http://l/v1/traces",
        ),
        ({"LUCIDIC_OTLP_ENDPOINT": "http://l/v1/traces"}, "http://l/v1/traces"),
        (
            {"LUCIDIC_OTLP_ENDPOINT": "http://l", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://h"},
            "http://l/v1/traces",
        ),
    ],
)
def test_endpoint_comes_from_the_variables(environ, endpoint):
    """The endpoint is the most particular one given, with the path of traces."""
    config = otlp_config(environ=environ)
    assert endpoint == (config.endpoint if config else None)


def test_other_variables_are_read():
    """Headers are decoded, the traces' variables come first, and compression is left out on loopback."""
    config = otlp_config(
        environ={
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
            "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer%20x, b = c",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "3",
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "4.5",
        }
    )
    assert {"authorization": "Bearer x", "b": "c"} == config.headers
    assert (4.5, False) == (config.timeout, config.gzip)
    assert otlp_config("https://example.org").gzip
    assert not otlp_config("https://example.org", environ={"OTEL_EXPORTER_OTLP_COMPRESSION": "none"}).gzip


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4317"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "ftp://h"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h", "OTEL_EXPORTER_OTLP_HEADERS": "nonsense"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h", "OTEL_EXPORTER_OTLP_TIMEOUT": "soon"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h", "OTEL_EXPORTER_OTLP_TIMEOUT": "-1"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h", "OTEL_EXPORTER_OTLP_COMPRESSION": "zip"},
    ],
)
def test_unusable_variables_are_named(environ):
    """A value that cannot be used raises an error that names it."""
    with pytest.raises(ConfigurationError, match="OTLP"):
        otlp_config(environ=environ)


def test_name_does_not_depend_on_credentials():
    """The sink's cursor is found again when the credentials have changed, and holds none of them."""
    one = OTLPConfig(endpoint="http://user:secret@h:1/v1/traces", headers={"a": "b"})
    assert OTLPConfig(endpoint="http://user:secret@h:1/v1/traces").name == one.name
    assert "secret" not in one.name
    assert "secret" not in repr(OTLPConfig(endpoint="http://h", headers={"authorization": "secret"}))


@given(st.lists(st.none() | st.floats(-10, 10**6), max_size=40))
def test_waits_are_bounded(asked):
    """Every wait is at least the shortest, and at most the longest or what was asked for, up to its own bound."""
    backoff = Backoff()
    for number, seconds in enumerate(asked):
        wait = backoff.delay(seconds)
        if seconds is None:
            assert SHORTEST <= wait <= min(LONGEST, SHORTEST * 2 ** (number + 1))
        else:
            assert min(max(seconds, 0), LONGEST_ASKED) <= wait <= LONGEST_ASKED + 1


def test_waits_double_up_to_the_longest():
    """With no jitter the waits double, and a success begins again."""
    backoff = Backoff(lambda _low, high: high)
    assert [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0] == [backoff.delay() for _ in range(10)]
    backoff.reset()
    assert 0.2 == backoff.delay()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("0", 0.0), ("soon", None), ("", None), ("-3", None), ("99999999999999999999", 1e20)],
)
def test_retry_after_in_seconds(text, seconds):
    """Seconds are read, and what is no time is none."""
    assert seconds == OTLPSink(OTLPConfig(endpoint="http://h"))._retry_after(text)


def test_retry_after_as_a_date():
    """A date is the seconds until then; one in the past is no wait."""
    sink = OTLPSink(OTLPConfig(endpoint="http://h"), clock=lambda: 1_000_000.0)
    then = datetime.fromtimestamp(1_000_030, timezone.utc)
    assert 30.0 == sink._retry_after(format_datetime(then, usegmt=True))
    before = datetime.fromtimestamp(999_000, timezone.utc)
    assert 0.0 == sink._retry_after(format_datetime(before, usegmt=True))
