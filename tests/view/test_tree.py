"""Turns, trees and folding."""

from __future__ import annotations

from dataclasses import replace

from lucidic._view._tree import fold, forest, turns, with_errors


def names(rows):
    return [(row.span.name, names(row.children)) for row in rows]


def test_turns_are_numbered_by_time(trip):
    """Traces are turns in the order of their first spans, whatever the order of the spans."""
    found = turns(reversed(trip.made))
    assert [(turn.number, turn.trace_id[-1], turn.errors) for turn in found] == [
        (1, "1", 0),
        (2, "2", 3),
        (3, "3", 0),
    ]


def test_a_turn_has_the_words_of_its_root(trip):
    """User and answer come from the root; a failed turn has a failure for an answer."""
    first, second, _ = turns(trip.made)
    assert first.user.startswith("What is the weather")
    assert first.answer.startswith("Paris: 21")
    assert second.answer == ""
    assert second.failure.headline.startswith("BookingError")


def test_a_turn_without_root_knows_what_the_model_was_asked(trip):
    """What a killed process left is still readable."""
    (turn,) = turns(span for span in trip.made[1:5])
    assert turn.root is None
    assert turn.answer == ""
    assert turn.user.startswith("What is the weather")


def test_chains_are_folded_into_what_they_led_to(trip):
    """The framework's own steps vanish, a node's name stays as a note, and empty steps are listed."""
    first, _, third = turns(trip.made)
    rows, steps = fold(first.top)
    inner = [("ChatOpenAI", []), ("get_weather", []), ("get_weather", []), ("ChatOpenAI", [])]
    assert names(rows) == [("travel", inner)]
    assert (steps, rows[0].steps) == ((), ("prompt", "should_continue"))
    rows, _ = fold(third.top)
    assert [(row.span.name, row.via) for row in rows] == [
        ("Hotels", ("retrieve",)),
        ("concierge", ("write",)),
    ]


def test_a_chain_that_fails_by_itself_is_not_folded(spans):
    """An error is never folded away."""
    root = spans.add("LangGraph", "CHAIN", 0, 9)
    spans.add("model", "CHAIN", 1, 2, parent=root, error=("ValueError", "x"))
    rows, _ = fold(forest(spans.made))
    assert names(rows) == [("model", [])]


def test_errors_keep_their_way_from_the_root(trip):
    """Only the branch that failed is left."""
    rows, _ = fold(turns(trip.made)[1].top)
    assert names(with_errors(rows)) == [("travel", [("book", [])])]


def test_spans_that_are_each_others_parents_are_shown(spans):
    """A cycle loses nothing and ends."""
    first = spans.add("a", "TOOL", 0, 1)
    second = spans.add("b", "TOOL", 1, 2, parent=first)
    loop = replace(first, parent_span_id=second.span_id)
    assert sorted(node.span.name for root in forest([loop, second]) for node in root.walk()) == ["a", "b"]


def test_endless_nesting_is_flattened(spans):
    """An agent that calls itself two thousand times is shown, and is no stack overflow."""
    parent = None
    for number in range(2000):
        parent = spans.add(f"call-{number}", "TOOL", number, 5000 - number, parent=parent)
    top = forest(spans.made)
    rows, _ = fold(top)
    assert sum(1 for root in top for _ in root.walk()) == 2000
    assert len(rows) == 1


def test_the_agents_sdks_own_steps_are_folded_and_other_names_kept(spans):
    """Workflow, run and turn say nothing beside the agent; a step that somebody named does."""
    root = spans.add("Agent workflow", "CHAIN", 0, 9)
    run = spans.add("run Agent workflow", "CHAIN", 0, 9, parent=root)
    mine = spans.add("my step", "CHAIN", 0, 9, parent=run)
    agent = spans.add("helper", "AGENT", 0, 9, parent=mine)
    for number in (1, 2):
        turn = spans.add(f"turn {number}", "CHAIN", number, 9, parent=agent)
        spans.add("look", "TOOL", number, 9, parent=turn)
        spans.add("look", "TOOL", number, 9, parent=turn)
    (row,), _ = fold(forest(spans.made))
    assert (row.span.name, row.via) == ("helper", ("my step",))
    assert names(row.children) == [("look", [])] * 4


def test_an_agent_called_from_another_process_speaks_for_its_turn(trip):
    """With the caller's span elsewhere, the words are the agent's, and the turn still says what is missing."""
    remote = replace(trip.made[0], parent_span_id="f" * 16)
    (turn,) = turns([remote, *trip.made[1:10]])
    assert turn.root is None
    assert turn.user.startswith("What is the weather")
    assert turn.answer.startswith("Paris: 21")


def test_a_tools_arguments_are_nobodys_words(spans):
    """While only a tool of a turn has finished, the turn has no words yet."""
    spans.tool("look", 1, 2, arguments={"n": 1}, output="found")
    (turn,) = turns(spans.made)
    assert (turn.user, turn.answer) == ("", "")
