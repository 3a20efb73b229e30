# LangChain passes by name, and more than is used
"""The callbacks that neither start nor end a run: custom events, retries, agents' actions, interrupts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from lucidic.adapterkit import agent_attributes
from lucidic_adapters.langchain import _models
from lucidic_adapters.langchain._control import interrupted, link_resume
from lucidic_adapters.langchain._io import as_json
from lucidic_adapters.langchain._runs import GUARD, RUNS, Run


class EventCallbacks:
    """What happens to a run while it is open."""

    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Add a custom event to the span of the run that dispatched it."""
        with GUARD:
            run = RUNS.get(run_id)
            if run is not None and run.owner is self:
                run.live.event(name, {_models.EVENT_DATA: data if isinstance(data, str) else as_json(data)})

    def on_agent_action(self, action: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Recognise an ``AgentExecutor`` of langchain-classic: only agents act; and which call its tool answers."""
        with GUARD:
            run = self._agent(run_id)
            call_id = getattr(action, "tool_call_id", None)
            if run is not None and call_id:
                run.asked = [*(run.asked or ()), (action.tool, action.tool_input, call_id)]

    def on_agent_finish(self, finish: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Recognise an ``AgentExecutor`` that finished without acting."""
        with GUARD:
            self._agent(run_id)

    def _agent(self, run_id: UUID) -> Run | None:
        run = RUNS.get(run_id)
        if run is None or run.owner is not self:
            return None
        if run.kind == "CHAIN":
            run.kind = "AGENT"
            name = getattr(run.live.span, "name", None)
            run.live.set({"openinference.span.kind": "AGENT", **agent_attributes(name or "agent")})
        return run

    def on_text(self, text: str, *, run_id: UUID, **kwargs: Any) -> None:
        """Do nothing: what langchain-classic prints is in its spans."""

    def on_retry(self, retry_state: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Add an event for each attempt of a model that failed and is tried again."""
        with GUARD:
            run = RUNS.get(run_id)
            if run is not None and run.owner is self:
                run.live.event("retry", {"attempt": getattr(retry_state, "attempt_number", 0)})

    def on_interrupt(self, event: Any) -> None:
        """Note that a graph waits for a person (langgraph 1.1 and newer)."""
        with GUARD:
            interrupted(event)

    def on_resume(self, event: Any) -> None:
        """Link the trace that was interrupted (langgraph 1.1 and newer)."""
        with GUARD:
            link_resume(RUNS.get(getattr(event, "run_id", None)), None, resumed=True)
