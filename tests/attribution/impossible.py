"""What Python or the one who binds makes impossible: for each cell, which faults it may show, and why.

Everything that is not here must be perfect. No excuse allows a wrong session: a span that cannot be attributed has
none.
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
_CLOSED = ("async generator holding a block closed",)
_DROPPED = ("async stream dropped in another session",)


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
        "start_as_current_span across a yield leaves the span current in the consumer, and OpenTelemetry puts what "
        "another generator starts below it, into the wrong trace: decorate the generator with the session.",
        _plain(*_INTERLEAVED),
        "none",
        "misplaced",
        "extra_traces",
    ),
    _excuse(
        "The same, every step under its own block, or in a context of its own: the sessions are right, the nesting "
        "is not.",
        _plain(*_EACH_STEP, *_STEPS),
        "misplaced",
        "extra_traces",
    ),
    _excuse(
        "What is set by hand, and blocks of others, do not say where a generator holds them that goes on elsewhere.",
        lambda place: _plain(*_STEPS)(place) and place.way in (MANUAL, *TOKENS),
        "none",
    ),
    _excuse(
        "The generator's block was left, or its consumer has a context in which the block and the span do not exist.",
        _plain(*_ESCAPED),
        "none",
        "misplaced",
        "extra_traces",
    ),
    _excuse(
        "A plain span of an abandoned generator stays current in the task that abandoned it, and OpenTelemetry puts "
        "what starts there below it; it has no session.",
        lambda place: _plain(*_ABANDONED)(place) or (_plain(*_CLOSED)(place) and place.way is MANUAL),
        "misplaced",
    ),
    _excuse(
        "OpenTelemetry logs the detach of a plain span, in a context in which it was not attached.",
        _plain(*_STEPS, *_ESCAPED, *_ABANDONED, *_CLOSED, *_DROPPED),
        "logs",
    ),
    _excuse(
        "Blocks of others reset a token: closed in another context, or in another order, they log and leave their "
        "key behind: use lai.using_session, which takes the same arguments.",
        lambda place: (
            place.way in TOKENS
            and (
                place.mode.name in (*_INTERLEAVED, *_STEPS, *_ABANDONED)
                or (place.workload.plain_stream and place.mode.name in _ESCAPED)
            )
        ),
        "left_behind",
        "leaks",
        "misplaced",
        "logs",
    ),
    _excuse(
        "Before Python 3.11 LangChain passes its run to no async code, so a call inside a node begins a run of its "
        "own: pass the node's config on.",
        lambda place: LANGCHAIN_LOSES_ASYNC and place.workload.name in ("create_agent", "graph", "mixed"),
        "none",
        "extra_traces",
    ),
)


def allowed(place: Place) -> frozenset[str]:
    """Return the faults that a cell may show."""
    return frozenset().union(*(excuse.faults for excuse in EXCUSES if excuse.holds(place)))
