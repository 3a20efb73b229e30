"""Which of the blocks that generators hold the running code is in.

A generator that yields inside ``with lai.session(…):`` leaves the block open in its consumer's context. When it
goes on, it finds there what others have entered meanwhile, or nothing where each step runs in a context of its
own. A context cannot tell, but the stack can: a generator whose frame is on it runs. So a block remembers the
generator frame that entered it, and where such blocks are open, the innermost frame on the stack that holds one
says whose code it is.

A generator under ``contextlib`` is suspended on purpose while its block is in use. It holds nothing: what it
enters is held by the generator that uses it, if there is one. Where no generator holds a block, a span's start
looks at no frame.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from types import FrameType
from typing import Final
from weakref import ref

from opentelemetry import trace
from opentelemetry.context import Context

from lucidic._bound import ABSENT, BINDING_KEY, SESSION_KEY, SPAN_KEY, Binding, Holder, made_of
from lucidic._drive import drive
from lucidic._spans._state import state_of


_GENERATOR: Final = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_CONTEXTLIB: Final = vars(contextlib)
_DRIVEN: Final = drive.__code__.co_filename


NOBODY: Final = Binding(None, previous=None, made_in=None, owned=False)
"""Stands for the session of a generator of which nobody can tell."""
held: dict[int, list[ref[Binding]]] = {}
"""The open blocks of each generator frame, the innermost last; as long as somebody can still leave them.

Not what is set by hand, which may never be cleared, and not those of decorated generators, which have a context of
their own.
"""


def holder_here() -> Holder | None:
    """Return the innermost generator that runs here, other than as a context manager."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_flags & _GENERATOR:
            caller = frame.f_back
            if caller is None or caller.f_globals is not _CONTEXTLIB:
                return Holder(id(frame), frame.f_code)
        frame = frame.f_back
    return None


def runs_here(holder: Holder) -> bool:
    """Tell whether a generator is on the stack; otherwise it is suspended, or runs elsewhere."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if id(frame) == holder.frame and frame.f_code is holder.code:
            return True
        frame = frame.f_back
    return False


def hold(binding: Binding) -> None:
    """Note who enters a block, and whether in the midst of a generator that is suspended in another one."""
    binding.holder = holder_here()
    previous = binding.previous
    if previous is not None:
        binding.contested = previous.contested or (
            previous.holder is not None and previous.is_owned_here() and not runs_here(previous.holder)
        )
    if binding.holder is None or binding.manual or binding.neutral:
        return
    if binding.holder.code.co_filename != _DRIVEN:
        frame = binding.holder.frame
        held.setdefault(frame, []).append(ref(binding, lambda dead: _forget(frame, dead)))


def let_go(binding: Binding) -> None:
    """Forget a block that was left."""
    if binding.holder is not None:
        for found in held.get(binding.holder.frame, ()):
            if found() is binding:
                _forget(binding.holder.frame, found)
                return


def _forget(frame: int, block: ref[Binding]) -> None:
    blocks = held.get(frame, [])
    remaining = [found for found in blocks if found is not block]
    if remaining:
        held[frame] = remaining
    else:
        held.pop(frame, None)


def _in_doubt(bound: Binding | None) -> bool:
    """Tell whether the innermost binding of a context may not be that of the running code."""
    if bound is None or bound.holder is None:
        return bool(held) or (bound is not None and bound.contested)
    return bound.contested or (bool(held) and not bound.is_owned_here())


def of_running_code(bound: Binding | None) -> Binding | None:
    """Return the binding of the running code: ``bound``, the context's, unless that is another generator's.

    It is where a generator on the stack holds a block that ``bound`` was not entered in.
    ``NOBODY``: it was set by hand in such a generator, which may be over, so that nobody can tell.
    """
    if not _in_doubt(bound):
        return bound
    by_hand = {} if bound is None or not bound.contested else _set_by_hand(bound)
    own = None if bound is None else bound.holder
    in_generator = False
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_flags & _GENERATOR:
            in_generator = True
            blocks = held.get(id(frame))
            found = blocks[-1]() if blocks else by_hand.get(id(frame))
            if own is not None and own.frame == id(frame):
                return found if found is not None and bound is not None and not bound.manual else bound
            if found is not None and found.holder is not None and found.holder.code is frame.f_code:
                return _found(found, bound)
        frame = frame.f_back
    return NOBODY if in_generator and _is_cut(bound) else bound


def _found(found: Binding, bound: Binding | None) -> Binding:
    if bound is not None:
        if not bound.contested and bound.is_inside(found):
            return bound
        if found.manual and bound.holder is None:
            return bound
    return NOBODY if found.manual else found


def set_by_hand_here(bound: Binding | None) -> Binding | None:
    """Return what the generator that runs here has set by hand last, if anything.

    If so many have set one that the first are forgotten, the oldest: all are cleared in the end, and none too early
    for anything but a generator of which nobody can tell.
    """
    if bound is None or (here := holder_here()) is None:
        return None
    found = _set_by_hand(bound, here).get(here.frame)
    if found is None and _is_cut(bound):
        return next(reversed(_set_by_hand(bound).values()), None)
    return found


def _is_cut(bound: Binding | None) -> bool:
    """Tell whether so many generators have set a session by hand that the first ones are forgotten."""
    if bound is None or not bound.contested:
        return False
    while bound.previous is not None:
        bound = bound.previous
    return bound.contested


def _set_by_hand(bound: Binding, holder: Holder | None = None) -> dict[int, Binding]:
    found: dict[int, Binding] = {}
    step: Binding | None = bound
    while step is not None:
        if step.manual and step.holder is not None and not step.closed and holder in (None, step.holder):
            found.setdefault(step.holder.frame, step)
        step = step.previous
    return found


def is_ours(keyed: str, running: Binding, binding: Binding | None, context: Context) -> bool:
    """Tell whether OpenInference's key was set by us: by a block, the running generator's or another's, or a run."""
    step = binding
    while step is not None and step.session_id != keyed:
        step = step.previous
    if step is not None or keyed == running.session_id:
        return True
    state = state_of(context.get(SPAN_KEY))
    return state is not None and state.session_id == keyed


def context_of_generator(running: Binding, held: Binding | None, current: Context) -> Context:
    """Return the context of a suspended generator's block, as far as it is known.

    The next generator that entered a block has kept what was current then.
    """
    later, step = None, held
    while step is not None and step is not running:
        if step.holder != running.holder:
            later = step
        step = step.previous
    if step is not None and later is not None and later.outer is not None:
        span = trace.get_current_span(later.outer)
        if span.is_recording() or not span.get_span_context().is_valid:
            return later.outer
    if running.attached is not None:
        return running.attached
    return made_of({**current, BINDING_KEY: ABSENT, SESSION_KEY: ABSENT, SPAN_KEY: ABSENT})
