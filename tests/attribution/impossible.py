"""What Python or the one who binds makes impossible: for each cell, which faults it may show, and why.

Everything that is not here must be perfect. A span that cannot be attributed has no session; a wrong one is
allowed only where OpenTelemetry itself is told a wrong parent.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from .ways import MANUAL, TOKENS


if TYPE_CHECKING:
    from .matrix import Place

LANGCHAIN_LOSES_ASYNC = sys.version_info < (3, 11)
_INTERLEAVED = ("generators holding a block interleaved", "async generators holding a block interleaved")
_EACH_STEP = ("streams interleaved, each step in its session",)
_STEPS = ("async generators holding a block, steps in tasks",)
_ESCAPED = ("streams that outlive their block", "streams consumed in another task")
_ABANDONED = ("async generator holding a block finalised",)
_BROKEN = ("async generator holding a block closed", "async stream dropped in another session")


class Excuse(NamedTuple):
    """Why a cell may show some faults."""

    reason: str
    holds: Callable[[Place], bool]
    faults: frozenset[str]


def _excuse(reason: str, holds: Callable[[Place], bool], *faults: str) -> Excuse:
    return Excuse(reason, holds, frozenset(faults))


def _plain(*modes: str) -> Callable[[Place], bool]:
    return lambda place: place.workload.plain_stream and place.mode.name in modes


EXCUSES = (
    _excuse(
        "Nothing ties an item of a queue to its producer: use lai.bind(function), a carrier, or the framework's id.",
        lambda place: place.mode.severed and place.way.key is None,
        "none",
    ),
    _excuse(
        "start_as_current_span across a yield leaves the span current in the consumer, and the next generator "
        "starts below it: decorate the generator with the session.",
        _plain(*_INTERLEAVED),
        "wrong",
        "misplaced",
        "extra_traces",
        "left_behind",
    ),
    _excuse(
        "The same, every step under its own block: the sessions are right, the nesting is not.",
        _plain(*_EACH_STEP),
        "misplaced",
        "extra_traces",
    ),
    _excuse(
        "Each step of the generator, or its consumer, has a context in which the block and the span do not exist; "
        "OpenTelemetry logs its own detach.",
        _plain(*_STEPS, *_ESCAPED),
        "none",
        "misplaced",
        "extra_traces",
        "logs",
    ),
    _excuse(
        "set_active_session and OpenInference's block leave the span of a suspended plain generator current.",
        lambda place: _plain(*_ESCAPED)(place) and place.way in (MANUAL, *TOKENS),
        "wrong",
        "left_behind",
    ),
    _excuse(
        "A plain span of an abandoned generator stays current in the task that abandoned it, and what starts there "
        "is below it; OpenTelemetry logs its own detach.",
        _plain(*_ABANDONED),
        "leaks",
        "misplaced",
        "logs",
    ),
    _excuse(
        "set_active_session leaves a plain generator's span current after clear_active_session.",
        lambda place: _plain(*_BROKEN, *_EACH_STEP)(place) and place.way is MANUAL,
        "leaks",
        "misplaced",
        "left_behind",
    ),
    _excuse("OpenTelemetry logs the detach of the plain span itself.", _plain(*_BROKEN), "logs"),
    _excuse(
        "Blocks of others reset a token: closed in another context they log and leave their key behind.",
        lambda place: place.way in TOKENS and place.mode.name in (*_INTERLEAVED, *_STEPS, *_ABANDONED),
        "left_behind",
        "leaks",
        "logs",
    ),
    _excuse(
        "Before Python 3.11 LangChain passes its run to no async code, so a call inside a node begins a run of its "
        "own: pass the node's config on.",
        lambda place: LANGCHAIN_LOSES_ASYNC and place.workload.name in ("create_agent", "graph", "mixed"),
        "none",
        "extra_traces",
    ),
    _excuse(
        "clear_active_session in another task clears there, not in the task that set the session.",
        lambda place: place.way is MANUAL and place.mode.name in _ABANDONED,
        "leaks",
    ),
)


def allowed(place: Place) -> frozenset[str]:
    """Return the faults that a cell may show."""
    return frozenset().union(*(excuse.faults for excuse in EXCUSES if excuse.holds(place)))
