"""Tokens, times and error rates."""

from __future__ import annotations

import json
from dataclasses import replace

from click.testing import CliRunner

from lucidic._cli import main
from lucidic._view._stats import figures


def stats(reader, *arguments):
    given = {"open_store": lambda: reader}
    return CliRunner().invoke(main, ["stats", *arguments], obj=given, catch_exceptions=False)


def test_models_add_up_calls_tokens_and_times(trip):
    """Every figure of a group, by hand."""
    (row,) = figures(trip.made, "model")
    assert (row.name, row.count, row.failed) == ("gpt-4o-mini", 4, 0)
    assert (row.tokens.prompt, row.tokens.completion, row.tokens.cached, row.tokens.reasoning) == (
        2524,
        1394,
        2112,
        12,
    )
    milliseconds = [310, 396, 418, 12_770]
    assert row.total_ns == sum(milliseconds) * 1_000_000
    assert (row.median_ns, row.p95_ns) == (396_000_000, 12_770_000_000)


def test_sessions_count_turns(trip):
    """A turn with an error anywhere is a failed turn; its time is from its first start to its last end."""
    loose = replace(trip.made[0], session_id=None, trace_id="f" * 32)
    rows = figures([*trip.made, loose], "session")
    assert [(row.name, row.count, row.failed) for row in rows] == [
        ("thread-42", 3, 1),
        ("(no session)", 1, 0),
    ]
    assert rows[0].total_ns == (931 + 1_210 + 13_000) * 1_000_000


def test_the_tables_are_json_too(reader):
    """Error rates are shares, times are seconds."""
    tables = json.loads(stats(reader, "thread-42", "--json").stdout)
    assert list(tables) == ["model", "agent", "tool", "session"]
    book, weather = tables["tool"]
    assert (book["name"], book["error_rate"], book["seconds"]["total"]) == ("book", 1.0, 0.793)
    assert (weather["count"], weather["error_rate"]) == (2, 0.0)


def test_the_tables_fit_80_columns(reader):
    """Each group has a table, and only those with tokens show them."""
    drawn = stats(reader).stdout
    assert max(map(len, drawn.splitlines())) <= 80
    assert [line.split()[0] for line in drawn.splitlines() if line.isupper()] == [
        "MODEL",
        "AGENT",
        "TOOL",
        "SESSION",
    ]


def test_long_tables_are_cut_unless_asked_for(reader, trip):
    """Twenty rows of a group are an overview; --by shows them all."""
    call = next(span for span in trip.made if span.name == "book")
    for number in range(25):
        named = {**call.attributes, "tool.name": f"tool-{number}"}
        reader.kept.append(replace(call, span_id=f"{number:016d}", attributes=named))
    assert "and 7 more: --by tool" in stats(reader).stdout
    assert "tool-24" in stats(reader, "--by", "tool").stdout


def test_nothing_to_count_says_why(reader, empty):
    """An empty table is never printed."""
    assert "lucidic demo" in stats(empty).stdout
    assert stats(reader, "--since", "1s").stdout == "No spans match.\n"
