"""What only notebooks need: a cell that awaits runs in a context of its own, which is gone with the cell.

A session that such a cell enters would be lost for the next one, and one that it leaves would come back. So the
bindings that cells make are noted here, and each cell begins with what the cells before it have left.
"""

from __future__ import annotations

import builtins
import sys
import threading
from typing import TYPE_CHECKING, Any

from lucidic._guard import guarded


if TYPE_CHECKING:
    from lucidic._bound import Binding

held_by_cells: list[Binding] = []
"""The bindings that cells have made and not left, the oldest first; always empty outside of IPython."""
_hooked: set[int] = set()
_cell: tuple[int, object] | None = None
"""Thread and task of the cell that runs; None until a cell has begun with our hook in place."""


def shell() -> Any:
    """Return IPython's shell, or None outside of IPython."""
    if not hasattr(builtins, "__IPYTHON__"):
        return None
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


def note(binding: Binding) -> None:
    """Note a binding if a cell makes it: not a task or a thread that a cell has started."""
    if not hasattr(builtins, "__IPYTHON__"):
        return
    with guarded("notebook"):
        _hook()
        if _cell is None or _cell == _here():
            held_by_cells.append(binding)


def forget(binding: Binding) -> None:
    """Forget a binding that was left."""
    if binding in held_by_cells:
        held_by_cells.remove(binding)


def forget_session(session_id: str) -> None:
    """Close what cells bound by hand to a session that has ended; their contexts may be gone."""
    for held in tuple(held_by_cells):
        if held.manual and held.session_id == session_id:
            held.closed = True
            forget(held)


def _hook() -> None:
    """Have IPython tell when a cell begins; once for each shell."""
    known = shell()
    if known is not None and id(known) not in _hooked:
        _hooked.add(id(known))
        known.events.register("pre_execute", _begin_cell)


def _begin_cell() -> None:
    from lucidic import _binding

    global _cell
    with guarded("notebook"):
        _cell = _here()
        _binding.take_over(held_by_cells[-1] if held_by_cells else None)


def _here() -> tuple[int, object]:
    import asyncio  # IPython has it anyway, and no other program should pay for it

    try:
        task: object = asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident(), task


def load_ipython_extension(shell: Any) -> None:
    """Load the magic ``%session``; called by ``%load_ext lucidic``."""
    from lucidic._magics import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Take the magic away again; called by ``%unload_ext lucidic``."""
    from lucidic._magics import unload

    unload(shell)
