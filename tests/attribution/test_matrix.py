"""A part of the matrix in every test run; all of it by ``python -m tests.attribution``."""

from __future__ import annotations

import logging
import sys

import pytest
from tests.attribution.__main__ import main

import lucidic as lai

from .cells import Mode, play, shape_of
from .impossible import EXCUSES, LANGCHAIN_LOSES_ASYNC
from .jobs import Job
from .matrix import places, run_place, sampled, surprises
from .modes_tasks import gathered, in_sequence
from .ways import BIND, Way
from .workloads import PlainSpans
from .workloads_mixed import Mixed


@pytest.fixture(autouse=True)
def _quiet_asyncio():
    logging.getLogger("asyncio").setLevel(logging.WARNING)


@pytest.mark.parametrize("place", [pytest.param(place, id=str(place)) for place in sampled()])
def test_every_span_has_its_session_and_its_place(place):
    """Every span of a cell carries its session below its own run; nothing is missing, leaks, raises or logs."""
    assert {} == surprises(place, run_place(place, sessions=4))


def test_the_judge_sees_what_a_global_session_does_wrong():
    """The control: one session for the whole process is judged wrong as soon as two run at once."""
    way = Way("a global", scope=lambda session_id: lai.session(session_id="user_9999_conv_9999"))

    verdict = play(Mode("gather", gathered), PlainSpans(), way, sessions=4)

    assert 4 * 7 == verdict.wrong
    assert 0 == verdict.leaks


def test_the_judge_sees_leaks_and_what_is_left_behind():
    """The control: a session that is set and never cleared is judged a leak."""

    class Stuck:
        def __init__(self, session_id):
            self.session_id = session_id

        def __enter__(self):
            lai.set_active_session(self.session_id)

        def __exit__(self, *error):
            return None

    verdict = play(Mode("in sequence", in_sequence), PlainSpans(), Way("stuck", scope=Stuck), sessions=2)

    assert 2 * 7 == verdict.leaks
    assert 1 == verdict.left_behind


def test_the_judge_sees_lost_and_misplaced_spans():
    """The control: a run whose spans lie elsewhere than alone, or are missing, is judged so."""

    def broken(cell):
        job = Job("user_0000_conv_0000")
        with cell.block(job):
            run = cell.begin(job, "run")
            cell.done(run)
            cell.workload._tool(0, str(run))

    verdict = play(Mode("broken", broken), PlainSpans(), BIND, sessions=1)

    assert 2 == verdict.correct
    assert 2 == verdict.misplaced
    assert 5 == verdict.missing


def test_every_excuse_is_needed_by_a_cell():
    """No excuse stands for a cell that does not exist."""
    everything = list(places())
    unused = [excuse.reason for excuse in EXCUSES if not any(map(excuse.holds, everything))]

    assert [] == [reason for reason in unused if LANGCHAIN_LOSES_ASYNC or "Python 3.11" not in reason]


@pytest.mark.skipif(
    LANGCHAIN_LOSES_ASYNC, reason="LangChain passes its run to no async code before Python 3.11"
)
def test_three_frameworks_and_plain_spans_give_one_nested_trace():
    """The mixed run is one tree: graph, PydanticAI agent, OpenAI Agents workflow, chain, each below the other."""
    deepest = max(shape_of(Mixed(), "arun"), key=len)

    assert (
        "LangGraph",
        "assist",
        "node",
        "invoke_agent assistant",
        "execute_tool run_the_workflow",
    ) == deepest[:5]
    assert ("ask_the_chain", "ask", "RunnableSequence", "prepare", "query") == deepest[-5:]


def test_the_command_plays_a_part_and_refuses_what_is_none(monkeypatch, capsys):
    """The documented command takes --shard and --only, and refuses a part or a name that chooses no cell."""
    command = ["attribution", "--sessions", "2", "--only", "kit / carrier / ", "--shard"]
    monkeypatch.setattr(sys, "argv", [*command, "1/20"])
    assert 0 == main()
    assert "0 not as they must be" in capsys.readouterr().out

    for wrong in ([*command, "9/8"], [*command, "9"], [*command[:4], "no such cell"]):
        monkeypatch.setattr(sys, "argv", wrong)
        with pytest.raises(SystemExit):
            main()
        assert "error: " in capsys.readouterr().err
