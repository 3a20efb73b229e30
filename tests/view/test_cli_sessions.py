"""The commands that list and show sessions."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import click
import pytest
from click.testing import CliRunner

from lucidic._cli import _common, main
from lucidic.errors import StoreError


@pytest.fixture
def run():
    """Run the command line against a store."""

    def invoke(reader, *arguments, **env):
        given = {"open_store": lambda: reader}
        return CliRunner().invoke(main, list(arguments), obj=given, env=env, catch_exceptions=False)

    return invoke


@pytest.fixture
def many(reader, trip):
    """Five sessions, the last one the newest."""
    states = ("finished", "died", "active", "finished", "finished")
    for number, state in enumerate(states):
        changes = {
            "session_id": f"s-{number}",
            "name": None if number % 2 else f"Order {number}",
            "state": state,
            "started_ns": trip.session().started_ns + (number + 1) * 3_600_000_000_000,
            "ended_ns": None,
            "fields": {"user_id": f"u-{number % 2}", "tags": [f"t-{number}"]},
            "total_tokens": 10_000 - number,
        }
        reader.known.append(trip.session(**changes))
    return reader


def ids(result):
    return [session["id"] for session in json.loads(result.stdout)]


def test_sessions_json_is_exact(run, reader):
    """The list has id, name, state, source, times, counts and tokens under documented keys."""
    (listed,) = json.loads(run(reader, "sessions", "--json").stdout)
    assert listed == {
        "id": "thread-42",
        "name": "Trip planning",
        "state": "finished",
        "source": "langchain.metadata.thread_id",
        "owner": "laptop:4711",
        "started": "2026-09-21T14:13:20.000000Z",
        "ended": "2026-09-21T14:15:33.000000Z",
        "traces": 3,
        "spans": 21,
        "errors": 3,
        "tokens": {"prompt": 2524, "completion": 1394, "total": 3918},
        "fields": {"user_id": "user-7", "tags": ["beta", "travel"]},
        "scores": [],
    }


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((), ["s-4", "s-3", "s-2", "s-1", "s-0", "thread-42"]),
        (("--state", "died"), ["s-1"]),
        (("--name", "order"), ["s-4", "s-2", "s-0"]),
        (("--user", "u-1"), ["s-3", "s-1"]),
        (("--tag", "t-2"), ["s-2"]),
        (("--since", "2026-09-21T17:13:20"), ["s-4", "s-3", "s-2"]),
        (("--until", "2026-09-21T15:00:00+00:00"), ["thread-42"]),
        (("--limit", "2", "--page", "2"), ["s-2", "s-1"]),
        (("--sort", "tokens", "--limit", "2"), ["s-0", "s-1"]),
        (("--sort", "name", "--limit", "3"), ["s-0", "s-2", "s-4"]),
    ],
)
def test_sessions_are_filtered_sorted_and_paged(run, many, arguments, found):
    """Every filter narrows, every order orders, and a page is a page."""
    assert ids(run(many, "sessions", "--json", *arguments)) == found


def test_sessions_reads_well_in_80_columns(run, many):
    """Ids stay whole, lines have no trailing space, and the next page is named."""
    result = run(many, "sessions", "--limit", "5", COLUMNS="80")
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any(line != line.rstrip() for line in lines)
    assert lines[0].split() == ["SESSION", "STATE", "STARTED", "TURNS", "FAILED", "TOKENS"]
    assert lines[-1] == "There are more: --page 2"
    assert "\x1b" not in result.stdout


def test_a_uuid_fits_in_80_columns(run, reader):
    """The usual id can be copied in one piece."""
    reader.known[0] = replace(reader.known[0], session_id="3f1c0a52-9d2e-4a2b-8a54-0e3a0a5a9f10")
    assert "3f1c0a52-9d2e-4a2b-8a54-0e3a0a5a9f10" in run(reader, "sessions", COLUMNS="80").stdout


def test_no_sessions_yet_says_how_to_make_one(run, empty):
    """An empty store is no error for a list, and one for a session."""
    listed = run(empty, "sessions")
    assert listed.exit_code == 0
    assert "lucidic demo" in listed.stdout
    assert run(empty, "sessions", "--json").stdout == "[]\n"
    shown = run(empty, "show")
    assert shown.exit_code == 1
    assert "lucidic demo" in shown.stderr


def test_no_match_is_not_taken_for_an_empty_store(run, reader):
    """A filter that leaves nothing says so."""
    assert run(reader, "sessions", "--state", "died").stdout == "No session matches.\n"


def test_an_odd_time_is_refused_with_examples(run, reader):
    """The message shows what can be given."""
    result = run(reader, "sessions", "--since", "yesterday")
    assert result.exit_code == 2
    assert "2h" in result.stderr


def test_show_json_is_exact(run, reader, trip):
    """Session, traces and spans with every attribute, in the order of their starts."""
    shown = json.loads(run(reader, "show", "--json").stdout)
    assert shown["session"]["id"] == "thread-42"
    assert [(trace["trace_id"][-1], len(trace["spans"])) for trace in shown["traces"]] == [
        ("1", 10),
        ("2", 4),
        ("3", 7),
    ]
    failed = shown["traces"][1]["spans"][-1]
    event = failed.pop("events")[0]
    assert (event["name"], event["time"]) == ("exception", "2026-09-21T14:14:21.204000Z")
    assert failed == {
        "span_id": trip.made[13].span_id,
        "parent_span_id": trip.made[12].span_id,
        "trace_id": f"{2:032x}",
        "session_id": "thread-42",
        "name": "book",
        "kind": "TOOL",
        "otel_kind": "INTERNAL",
        "status": "ERROR",
        "status_message": "no seats left on [bold]LX 632[/bold]",
        "start_time": "2026-09-21T14:14:20.411000Z",
        "end_time": "2026-09-21T14:14:21.204000Z",
        "start_ns": trip.made[13].start_ns,
        "end_ns": trip.made[13].end_ns,
        "attributes": dict(trip.made[13].attributes),
        "links": [],
        "scope": {"name": "", "version": ""},
        "resource": {},
    }


@pytest.mark.parametrize("wanted", ["s-4", "Order 4", None])
def test_a_session_is_found_by_id_name_or_as_the_newest(run, many, wanted):
    """What a person remembers is enough."""
    shown = run(many, "show", "--json", *([wanted] if wanted else []))
    assert json.loads(shown.stdout)["session"]["id"] == "s-4"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("nope", "'nope' does not exist. The newest are: 's-4'"),
        ("s-", "'s-' is not clear. It could be: 's-4', 's-3'"),
    ],
)
def test_an_unknown_session_says_which_exist(run, many, wanted, said):
    """The error names the sessions and the command that lists them all."""
    result = run(many, "show", wanted)
    assert result.exit_code == 1
    assert said in result.stderr


def test_a_trace_is_chosen_by_number_or_id(run, reader):
    """One turn alone, and an unknown one is refused with the known ones."""
    for wanted in ("2", f"{2:032x}"):
        shown = json.loads(run(reader, "show", "--json", "--trace", wanted).stdout)
        assert [trace["trace_id"] for trace in shown["traces"]] == [f"{2:032x}"]
    refused = run(reader, "show", "--trace", "9")
    assert refused.exit_code == 1
    assert "3 (00000000…)" in refused.stderr


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreError("The store cannot be used: database is locked"), "try again"),
        (StoreError("The store cannot be used: file is not a database"), "put aside"),
        (PermissionError(13, "Permission denied", "/denied/x"), "LUCIDIC_HOME"),
    ],
)
def test_an_unreadable_store_is_one_clear_line(run, error, said):
    """No traceback: what is wrong and what to do, with an exit code of its own."""

    class Broken:
        def catch_up(self):
            raise error

        def close(self):
            pass

    for command in ("sessions", "show", "tail"):
        result = run(Broken(), command)
        assert result.exit_code == 3
        assert result.stderr.startswith("Error: ")
        assert said in result.stderr


def test_a_missing_module_costs_only_its_command():
    """Help works whichever commands are installed, and an unknown one is wrong usage."""
    shown = CliRunner().invoke(main, ["--help"])
    assert shown.exit_code == 0
    assert "sessions" in shown.stdout
    assert CliRunner().invoke(main, ["nonsense"]).exit_code == 2


def test_a_session_is_written_as_one_html_file(run, reader, tmp_path):
    """The file can be sent to somebody who has neither the store nor lucidic."""
    target = tmp_path / "session.html"
    assert run(reader, "show", "--html", str(target)).stdout == f"Written to {target}\n"
    assert "You are a travel agent." in target.read_text(encoding="utf-8")
    refused = run(reader, "show", "--html", str(tmp_path / "no" / "such" / "folder.html"))
    assert (refused.exit_code, refused.stderr.startswith("Error: Cannot write ")) == (3, True)


def test_spans_of_no_session_are_shown_with_the_way_out(run, reader, trip):
    """What belongs to nobody is found, and the ways to give it a session are named."""
    assert run(reader, "unattributed").stdout == "Every span belongs to a session.\n"
    reader.kept += [replace(span, session_id=None) for span in trip.made[:10]]
    drawn = run(reader, "unattributed").stdout
    assert drawn.startswith("10 spans in 1 trace without a session\n")
    assert "lai.session()" in drawn
    assert 'tool get_weather(city="Paris")' in drawn
    (trace,) = json.loads(run(reader, "unattributed", "--json").stdout)
    assert len(trace["spans"]) == 10


def test_what_takes_long_is_told_on_a_terminal(reader, monkeypatch, capsys):
    """After a second a terminal says what is going on; a pipe never does."""
    started = threading.Event()
    monkeypatch.setattr(_common, "_SLOW_S", 0.0)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("rich.status.Status.start", lambda status: started.set())
    with _common.told_if_slow("Reading"):
        assert started.wait(10)
    started.clear()
    monkeypatch.delenv("FORCE_COLOR")
    with _common.told_if_slow("Reading"):
        pass
    assert not started.is_set()


def test_a_closed_pipe_is_not_taken_for_a_broken_store(reader):
    """`lucidic tail | head` ends; it does not send anybody to look for a damaged folder."""
    context = click.Context(main, obj={"open_store": lambda: reader})
    with context, pytest.raises(BrokenPipeError), _common.store():
        raise BrokenPipeError


def test_wrong_command_names_the_nearest_one():
    """A slip of the finger is answered with the command that was meant."""
    said = CliRunner().invoke(main, ["sesions"])

    assert 2 == said.exit_code
    assert "No such command 'sesions'. Did you mean 'sessions'?" in said.output


def test_help_cuts_no_command_short():
    """In a terminal of 80 columns every command's line is whole."""
    _, _, commands = CliRunner().invoke(main, ["--help"], terminal_width=80).stdout.partition("Commands:")

    assert commands
    assert "..." not in commands
