"""Control flow that LangGraph raises as exceptions: interrupts, hand-overs; and the link from a resume."""

from __future__ import annotations

from typing import Any, Final

from lucidic_adapters.langchain._io import as_json
from lucidic_adapters.langchain._runs import RUNS, Run


try:
    from langgraph.errors import GraphBubbleUp, GraphInterrupt
except ImportError:  # langgraph is not installed: nothing of it can be raised
    GraphBubbleUp = GraphInterrupt = None  # type: ignore[assignment,misc]


INTERRUPT_VALUE: Final = "lucidic.event.interrupt"
"""What the graph asks: content, and masked as such."""


def control_flow(run: Run, error: BaseException) -> BaseException | None:
    """Return the error, or ``None`` for control flow of a graph, told by its type."""
    if GraphBubbleUp is None or not isinstance(error, GraphBubbleUp):
        return error
    if isinstance(error, GraphInterrupt):
        asked = _values(error.args[0] if error.args else ())
        _pause(run, {INTERRUPT_VALUE: asked})
        root = root_of(run)
        if root is not run and INTERRUPT_VALUE not in (root.pause or {}):
            _pause(root, {INTERRUPT_VALUE: asked})
    return None


def interrupted(event: Any) -> None:
    """Note what ``on_interrupt`` reports of a graph: what it asks, and the checkpoint to go on from."""
    run = RUNS.get(getattr(event, "run_id", None))
    if run is not None:
        facts = {"langgraph.checkpoint_id": str(event.checkpoint_id), "langgraph.status": str(event.status)}
        # A breakpoint asks nothing.
        asked = {INTERRUPT_VALUE: _values(event.interrupts)} if event.interrupts else {}
        _pause(run, {**asked, **facts})


def _pause(run: Run, facts: dict[str, Any]) -> None:
    run.pause = {**(run.pause or {}), **facts}


def tell_pause(run: Run) -> None:
    """Note on the span of a run that ends that it waits for a person; a resume will link to it."""
    run.live.event("interrupt", run.pause)
    if run.parent is None:
        RUNS.interrupted(run.thread, run.live.session_id, run.live.span.get_span_context())


def link_resume(run: Run | None, inputs: object, *, resumed: bool = False) -> None:
    """Link the trace that an interrupt ended to the run that goes on with it."""
    if run is None or run.thread is None or run.parent is not None:
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
