"""The doctor."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest
from click.testing import CliRunner

from lucidic._cli import main
from lucidic._export import SinkHealth
from lucidic.errors import StoreError


@dataclass
class Books:
    """The exporter's health, as far as the doctor reads it."""

    sinks: list[SinkHealth]
    failure: str | None = None
    segments: int = 2
    spool_bytes: int = 4096
    unexplained: int = 0


@pytest.fixture
def books():
    """Books that balance, with a span dropped for a reason."""
    return Books([SinkHealth(name="store", produced=10, delivered=8, dropped={"damaged": 1}, pending=1)])


@pytest.fixture
def doctor(reader, books, tmp_path, monkeypatch):
    """Run the doctor with a home of its own and the given environment."""

    def invoke(*arguments, **env):
        for name in ("LUCIDIC_API_KEY", "LUCIDIC_EXIT_BUDGET", "OTEL_EXPORTER_OTLP_ENDPOINT"):
            monkeypatch.delenv(name, raising=False)
        env = {"LUCIDIC_HOME": str(tmp_path), **env}
        given = {"open_store": lambda: reader, "health": books}
        return CliRunner().invoke(main, ["doctor", *arguments], obj=given, env=env, catch_exceptions=False)

    return invoke


def test_each_setting_says_where_it_came_from(doctor, tmp_path):
    """Values with their origins; a key is never printed."""
    report = json.loads(doctor("--json", LUCIDIC_API_KEY="sk-secret", LUCIDIC_AUTO_END="no").stdout)
    settings = report["settings"]
    assert settings["home"] == {"value": str(tmp_path), "origin": "env LUCIDIC_HOME"}
    assert settings["auto_end"] == {"value": False, "origin": "env LUCIDIC_AUTO_END"}
    assert settings["api_key"] == {"value": "set", "origin": "env LUCIDIC_API_KEY"}
    assert settings["exit_budget"]["origin"] == "default"
    assert report["versions"]["python"]
    assert report["problems"] == []


def test_the_key_is_not_in_the_text(doctor):
    """What is pasted into an issue holds no secret."""
    result = doctor(LUCIDIC_API_KEY="sk-secret")
    assert "sk-secret" not in result.stdout
    assert "Everything is in order." in result.stdout
    assert result.exit_code == 0


def test_spans_without_a_session_are_counted(doctor, reader):
    """The books name what belongs to nobody."""
    reader.kept.append(replace(reader.kept[0], session_id=None))
    kept = json.loads(doctor("--json").stdout)["store"]
    assert (kept["sessions"], kept["spans"], kept["unattributed"]) == (1, 22, 1)


def test_a_bad_setting_is_a_problem_and_not_a_traceback(doctor):
    """The doctor works where everything else refuses to."""
    result = doctor(LUCIDIC_EXIT_BUDGET="soon")
    assert result.exit_code == 1
    assert "LUCIDIC_EXIT_BUDGET is 'soon'" in " ".join(result.stdout.split())


def test_an_unreadable_store_is_a_problem_and_not_a_traceback(doctor, reader, monkeypatch):
    """A damaged store is named, with what to do."""

    def broken():
        raise StoreError("The local store cannot be used: file is not a database")

    monkeypatch.setattr(reader, "catch_up", broken)
    report = json.loads(doctor("--json").stdout)
    assert report["store"] is None
    assert "put aside" in report["problems"][0]


def test_the_ledger_balances_for_each_sink(doctor):
    """Produced is delivered, rejected, dropped and pending; a counted drop is no fault of the doctor's to cry over."""
    result = doctor("--json")
    ledger = json.loads(result.stdout)["ledger"]
    assert ledger["sinks"] == [
        {
            "name": "store",
            "state": "ok",
            "note": "",
            "produced": 10,
            "delivered": 8,
            "rejected": 0,
            "dropped": {"damaged": 1},
            "pending": 1,
            "unexplained": 0,
        }
    ]
    assert (ledger["unexplained"], result.exit_code) == (0, 0)
    assert "1 (damaged)" in doctor().stdout


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"failure": "No space left on device"}, "The journal cannot be written: No space left on device"),
        ({"unexplained": 3}, "3 spans unexplained"),
        ({"sinks": [SinkHealth(name="otlp", state="paused", note="401")]}, "Sink otlp is paused: 401"),
    ],
)
def test_what_is_stuck_is_a_problem(doctor, books, fault, said):
    """Exit code 1, and a line that says what."""
    for name, value in fault.items():
        setattr(books, name, value)
    result = doctor()
    assert result.exit_code == 1
    assert said in " ".join(result.stdout.split())
