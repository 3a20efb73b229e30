"""What the SDK knows and does not tell its processors, read from the frames that call them.

Callbacks run below the code that opens and closes a span. That code has parameters of the SDK's public
interfaces in its frame (``Model.get_response(…, model_settings, tools, …)``), and a failing block its
exception. A frame that is not found costs attributes, never a span.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping
from types import CodeType, FrameType
from typing import Any, Final, TypeAlias


_NOTHING: Final[Mapping[str, Any]] = {}
_DEEPEST: Final = 16
_NEAR: Final = 6
_MOST_SEEN: Final = 1024
_Seen: TypeAlias = "dict[int, tuple[CodeType, bool]]"
_seen: Final[defaultdict[tuple[str, ...], _Seen]] = defaultdict(dict)
"""For what is asked, by the id of a code, which is kept with the answer, so that the id stays its own."""
_START: Final = "start"
MARKED: Final = "mark_as_current"
"""The method of the SDK's traces and spans that calls processors, and its parameter."""

MODEL_CALL: Final = ("tracing", "model_settings", "handoffs")
"""Parameters of ``Model.get_response`` and ``Model.stream_response``."""
RUN: Final = ("conversation_id", "session", "run_config")
"""Parameters of a run, in whichever function of the SDK starts its trace."""
TOOL_CALL: Final = ("func_tool", "tool_call")
NATIVE_CALLS: Final = (("call", "hooks", "context_wrapper"), ("action", "hooks", "context_wrapper"))
"""Parameters of what runs a shell, an editor or a computer: the first one holds the model's call."""
FINAL: Final = ("turn_result", "current_turn")
"""Variables of what runs an agent's turns (0.19 to 0.24): the last turn's result holds the final output."""
GUARDRAIL: Final = ("guardrail",)
HANDOFF: Final = ("actual_handoff",)


def locals_of(names: tuple[str, ...], *, deepest: int = _DEEPEST, anyones: bool = False) -> Mapping[str, Any]:
    """Return the local variables of the nearest calling frame that has all of ``names``, else nothing.

    Args:
        names: What the frame must have.
        deepest: How many frames to look at.
        anyones: Also look at frames of code that is not the SDK's.

    """
    frame = sys._getframe(1).f_back
    seen = _seen[names]
    while frame is not None and deepest > 0:
        code = frame.f_code
        known = seen.get(id(code))
        if known is None or known[0] is not code:
            known = _look_at(code, names, seen)
        if known[1] and (anyones or str(frame.f_globals.get("__name__")).startswith("agents.")):
            return frame.f_locals
        frame = frame.f_back
        deepest -= 1
    return _NOTHING


def _look_at(code: CodeType, names: tuple[str, ...], seen: _Seen) -> tuple[CodeType, bool]:
    """Tell whether functions of this code have all of ``names``, and remember it: Python gathers them on each look."""
    if len(seen) >= _MOST_SEEN:
        seen.clear()
    found = seen[id(code)] = code, {*code.co_varnames, *code.co_cellvars}.issuperset(names)
    return found


def is_marked_current() -> bool:
    """Tell whether the span that starts now becomes the SDK's current one; True where it is not told."""
    frame = sys._getframe(1).f_back
    for _ in range(_NEAR):
        if frame is None:
            break
        # By the name first: this is asked for every span, and a code's variables are gathered on each look.
        if (
            frame.f_code.co_name == _START
            and MARKED in frame.f_code.co_varnames
            and str(frame.f_globals.get("__name__")).startswith("agents.")
        ):
            return bool(frame.f_locals.get(MARKED, True) or _marked_by_wrapper(frame))
        frame = frame.f_back
    return True


def _marked_by_wrapper(start: FrameType) -> bool:
    """Tell whether another tracer's wrapper around the span (logfire's) makes itself the current one."""
    above = start.f_back
    wrapper = None if above is None else above.f_locals.get("self")
    if above is None or getattr(wrapper, "wrapped", None) is not start.f_locals.get("self"):
        return False
    return above.f_code.co_name == "__enter__" or bool(above.f_locals.get(MARKED))


def passing_error() -> BaseException | None:
    """Return the exception that is passing through the calling code."""
    return sys.exc_info()[1]
