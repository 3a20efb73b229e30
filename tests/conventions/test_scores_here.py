"""What is seen of scores on this machine, and what a wrong call is told."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import lucidic as lai
from lucidic import sinks
from lucidic._cli import main
from lucidic.errors import ConfigurationError, InvalidScoreError, InvalidSessionIDError


def test_store_and_views_show_them(turn, capsys):
    """The local store has a session's scores, the latest of each identifier, and they make no turn."""
    span, _ = turn()
    lai.score("user_7_conv_1", "helpful", True, "thanks", identifier="user-7")
    lai.score("user_7_conv_1", "helpful", False, "wrong after all", identifier="user-7")
    lai.score(span, "correct", 0.5, "half")
    assert lai.flush(10)
    session = lai.get_session("user_7_conv_1")
    (kept,) = session.scores
    assert (kept.name, kept.value, kept.comment) == ("helpful", False, "wrong after all")
    assert session.traces == 1
    shown = CliRunner().invoke(main, ["show", "user_7_conv_1"]).output
    assert "1 turn " in shown
    assert "score helpful: false · wrong after all" in shown
    assert "Turn 2" not in shown
    assert "0.5: half" in shown


def test_every_command_goes_on_with_scores(turn):
    """Following, counting, exporting and listing know a score for what it is."""
    span, _ = turn()
    lai.score("user_7_conv_1", "helpful", True, "thanks")
    lai.score(span, "correct", 0.5)
    assert lai.flush(10)

    def run(*words):
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
        return done.output

    followed = run("tail", "user_7_conv_1", "--until-end")
    assert "score helpful → true: thanks" in followed
    assert "Turn 2" not in followed
    (figures,) = json.loads(run("stats", "--by", "session", "--json"))["session"]
    assert figures["count"] == 1
    (listed,) = json.loads(run("sessions", "--json"))
    assert [score["name"] for score in listed["scores"]] == ["helpful"]
    assert "score helpful" in run("export")
    assert "helpful: true" in lai.show("user_7_conv_1")._repr_html_()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((None, "helpful", True), InvalidScoreError, "no session"),
        (("", "helpful", True), InvalidSessionIDError, "empty"),
        (("s", "", True), InvalidScoreError, "needs a name"),
        (("s", None, True), InvalidScoreError, "needs a name"),
        (("s", "helpful", None), InvalidScoreError, "finite number"),
        (("s", "helpful", float("nan")), InvalidScoreError, "finite number"),
        (("s", "helpful", ""), InvalidScoreError, "a word"),
        (("s", "helpful", [1]), InvalidScoreError, "a word"),
        (("s", "helpful", 1, 5), InvalidScoreError, "comment"),
        ((7, "helpful", True), InvalidScoreError, "neither"),
        (({}, "helpful", True), InvalidScoreError, "no ids"),
    ],
)
def test_misuse_says_the_way_out(arguments, error, words):
    """Each wrong call raises an error that says what to pass."""
    with pytest.raises(error, match=words):
        lai.score(*arguments)
    with pytest.raises(InvalidScoreError, match="HUMAN, LLM, CODE"):
        lai.score("user_7_conv_1", "helpful", True, annotator_kind="DOG")
    with pytest.raises(ConfigurationError, match="phoenix, mlflow"):
        sinks.otlp("http://localhost:4318", annotations="dog")


def test_the_active_session_is_meant_by_none(captured):
    """Without a target the score is the active session's."""
    with lai.session(session_id="user_7_conv_1"):
        lai.score(None, "helpful", True)
    assert captured.named("score helpful").attributes["session.id"] == "user_7_conv_1"
