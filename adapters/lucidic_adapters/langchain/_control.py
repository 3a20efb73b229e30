"""Control flow that LangGraph raises as exceptions: interrupts, hand-overs; and the link from a resume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lucidic_adapters.langchain._io import as_json
from lucidic_adapters.langchain._runs import RUNS, Run


try:
    from langgraph.errors import GraphBubbleUp, GraphInterrupt
except ImportError:  # langgraph is not installed: nothing of it can be raised
    GraphBubbleUp = GraphInterrupt = None  # type: ignore[assignment,misc]


def control_flow(run: Run, error: BaseException) -> BaseException | None:
    """Return the error, or ``None`` for control flow of a graph, told by its type."""
    if GraphBubbleUp is None or not isinstance(error, GraphBubbleUp):
        return error
    if isinstance(error, GraphInterrupt):
        interrupts = error.args[0] if error.args else ()
        run.interrupted = True
        run.live.event("interrupt", {"interrupt.value": _values(interrupts)})
        root = root_of(run)
        if root is not run:
            mark_interrupted(root, interrupts)
    return None


def interrupt_event(event: Any) -> None:
    """Note what ``on_interrupt`` reports on the graph's span."""
    run = RUNS.get(getattr(event, "run_id", None))
    if run is not None:
        mark_interrupted(run, event.interrupts, str(event.checkpoint_id), str(event.status))


def mark_interrupted(
    run: Run, interrupts: Any, checkpoint_id: str | None = None, status: str | None = None
) -> None:
    """Note on a graph's root that it waits for a person; a resume on its thread will link to it."""
    first = not run.interrupted
    run.interrupted = True
    if first or checkpoint_id is not None:
        facts: Mapping[str, Any] = {
            "interrupt.value": _values(interrupts),
            "langgraph.checkpoint_id": checkpoint_id,
            "langgraph.status": status,
        }
        run.live.event("on_interrupt", facts)
    RUNS.interrupted(run.thread, run.live.session_id, run.live.span.get_span_context())


def link_resume(run: Run, inputs: object, *, resumed: bool = False) -> None:
    """Link the trace that an interrupt ended to the run that goes on with it."""
    if run.thread is None or run.parent is not None:
        return
    if not resumed and inputs is not None and getattr(inputs, "resume", None) is None:
        return
    left = RUNS.resumed(run.thread, run.live.session_id)
    if left is not None:
        run.live.link(left, {"lucidic.link": "resumes"})


def root_of(run: Run) -> Run:
    """Return the outermost open run above a run."""
    while run.parent is not None:
        run = run.parent
    return run


def _values(interrupts: Any) -> str:
    values = [getattr(item, "value", item) for item in interrupts or ()]
    shown = values[0] if len(values) == 1 else values
    return shown if isinstance(shown, str) else as_json(shown)
