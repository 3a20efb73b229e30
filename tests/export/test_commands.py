"""``lucidic export``, ``lucidic replay`` and ``lucidic journal``."""

from __future__ import annotations

import json

import pytest
import receiver as plan
from click.testing import CliRunner
from helpers import tracer_for
from receiver import Receiver

from lucidic._cli import main
from lucidic._export import Exporter, ExportOptions


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command on a home that has two sessions."""
    monkeypatch.setenv("LUCIDIC_HOME", str(tmp_path))
    for name in (
        "LUCIDIC_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    ):
        monkeypatch.delenv(name, raising=False)
    exporter = Exporter(tmp_path, options=ExportOptions(fsync_window=0))
    tracer = tracer_for(exporter)
    for session in ("a", "a", "b"):
        tracer.start_span(f"of-{session}", attributes={"lucidic.session_id": session}).end()
    exporter.shutdown(5)
    exporter.store.close()
    return lambda *arguments: CliRunner().invoke(main, list(arguments))


def names_in(text: str) -> list[str]:
    found = []
    for line in text.splitlines():
        for resource in json.loads(line)["resourceSpans"]:
            found += [span["name"] for scope in resource["scopeSpans"] for span in scope["spans"]]
    return found


def test_export_writes_one_html_file(run, tmp_path):
    """The sessions that are named, in their order, or the newest; what does not go together is said."""
    target = tmp_path / "sessions.html"
    assert run("export", "--html", str(target), "b", "a").exit_code == 0
    page = target.read_text(encoding="utf-8")
    assert page.count('role="region"') == 2
    assert page.index('aria-label="Session b"') < page.index('aria-label="Session a"')
    assert run("export", "--html", str(target)).exit_code == 0
    assert 'aria-label="Session b"' in target.read_text(encoding="utf-8")
    assert run("export", "--html", str(target), "nope").exit_code == 1
    assert run("export", "--html", str(target), "-o", "x").exit_code == 2
    assert run("export", "--html", str(tmp_path / "no" / "x.html")).exit_code == 3


def test_export_writes_json_lines(run, tmp_path):
    """All spans, or one session's, are written as OTLP/JSON to standard output or a file."""
    assert ["of-a", "of-a", "of-b"] == names_in(run("export").stdout)
    target = tmp_path / "out.jsonl"
    said = run("export", "b", "-o", str(target))
    assert "1 span written" in said.output
    assert ["of-b"] == names_in(target.read_text())
    assert [] == names_in(run("export", "--until", "1d").stdout)


def test_replay_delivers_again(run):
    """What an endpoint has lost is sent to it once more, with headers of one's own."""
    with Receiver() as receiver:
        said = run("replay", "--to", receiver.url, "--header", "x-key=1", "a")
        assert 0 == said.exit_code, said.output
        assert ["of-a", "of-a"] == receiver.names
        assert "1" == receiver.headers[0]["x-key"]
        assert 0 == run("replay", "--to", receiver.url, "--since", "1h").exit_code
        assert 5 == len(receiver.accepted)
        assert 3 == receiver.distinct


def test_replay_says_what_is_wrong(run):
    """No endpoint, one that refuses, a header that is none and an unknown session are errors with a way out."""
    assert "--to URL" in run("replay").output
    assert "name=value" in run("replay", "--to", "http://h", "--header", "x").output
    with Receiver() as receiver:
        receiver.always = plan.status(401)
        said = run("replay", "--to", receiver.url)
        assert 1 == said.exit_code
        assert "401" in said.output
        assert "does not exist" in run("replay", "--to", receiver.url, "nobody").output


def test_journal_lists_the_segments(run):
    """The segments are listed with sizes, spans and the sinks' cursors, for people and as JSON."""
    assert "SPANS" in run("journal").output
    (segment,) = json.loads(run("journal", "--json").stdout)["segments"]
    assert (3, False, 0) == (segment["spans"], segment["damaged"] > 0, segment["sinks"]["store"]["pending"])


def test_journal_of_an_empty_home(run, monkeypatch, tmp_path):
    """A home that nobody has written to has no segments, and says so."""
    monkeypatch.setenv("LUCIDIC_HOME", str(tmp_path / "new"))
    assert "no segments" in run("journal").output


def test_export_to_a_place_that_cannot_be_written_says_so(run, tmp_path):
    """A file that cannot be opened is an error of one line, not a stack trace."""
    said = run("export", "-o", str(tmp_path / "no-such-folder" / "out.jsonl"))
    assert 3 == said.exit_code
    assert "Error: Cannot write" in said.output
