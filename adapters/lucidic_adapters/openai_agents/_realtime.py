"""Realtime sessions: the SDK makes no spans of them, so they are made of the events that it gives to its users.

A conversation is one trace: its root from connecting to closing, below it each agent's part, below that the
model's responses, the tools, the handoffs and the guardrails that tripped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final

from lucidic.adapterkit import (
    CANCELLED,
    AdapterTracer,
    FrameworkID,
    LiveSpan,
    Message,
    agent_attributes,
    dumps,
    framework_id,
    framework_ids,
    graph_node_attributes,
    io_attributes,
    tool_attributes,
)
from lucidic_adapters.openai_agents._context import Entry, enter, leave
from lucidic_adapters.openai_agents._frames import locals_of
from lucidic_adapters.openai_agents._realtime_model import Response, message_of
from lucidic_adapters.openai_agents._responses import arguments_as_input, get, last_words, text_of
from lucidic_adapters.openai_agents._sessions import GROUP, METADATA, includes_data


PROVIDER_SESSION: Final = "openai_agents.realtime_session_id"
_DEFAULT_NAME: Final = "Realtime session"
_PARAMETERS: Final = ("voice", "speed", "modalities", "output_modalities", "tool_choice", "temperature")
_CALL: Final = ("mark_completed", "event")
"""Of the SDK's function that handles a call of a tool (0.24); without it spans of tools have no call's id."""
_tool: ContextVar[_Tool | None] = ContextVar("lucidic_agents_realtime_tool", default=None)


class _Part:
    """One agent's part of a conversation; its span stays open while a tool of it runs."""

    def __init__(self, live: LiveSpan, name: str) -> None:
        self.live = live
        self.name = name
        self.running = 0
        self.over = False

    def end_if_over(self) -> None:
        if self.over and not self.running:
            self.live.end()


class _Tool:
    """A tool that runs."""

    def __init__(self, live: LiveSpan, part: _Part, entry: Entry) -> None:
        self.live = live
        self.part = part
        self.entry = entry
        self.error: BaseException | None = None
        self.task = asyncio.current_task()
        if self.task is not None:
            self.task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self.end(_error_of(task))

    def end(self, error: BaseException | None = None, **attributes: Any) -> None:
        if self.task is None:
            return
        self.task.remove_done_callback(self._task_done)
        self.task = None
        error = error or self.error
        if isinstance(error, asyncio.CancelledError):
            self.live.end(ok=False, attributes={**attributes, CANCELLED: True})
        else:
            self.live.end(error=error, attributes=attributes)
        leave(self.entry)
        self.part.running -= 1
        self.part.end_if_over()


class Conversation:
    """What is known of one realtime session."""

    def __init__(self, session: Any, tracer: AdapterTracer, keys: tuple[str, ...]) -> None:
        self._tracer = tracer
        self._client = session.model
        self._agent = getattr(session, "_current_agent", None)
        self._show = includes_data(None)
        settings = _settings_of(session)
        tracing = settings.get("tracing")
        tracing = tracing if isinstance(tracing, Mapping) else {}
        self._model = settings.get("model_name") or getattr(session.model, "model", None)
        self._parameters = {name: settings[name] for name in _PARAMETERS if settings.get(name) is not None}
        self._history: dict[object, Message] = {}
        self._part: _Part | None = None
        self._response: Response | None = None
        self._provider_id: tuple[FrameworkID, ...] = ()
        self._error: BaseException | None = None
        metadata = tracing.get("metadata")
        given = [FrameworkID(group, GROUP)] if (group := framework_id(tracing.get("group_id"))) else []
        if isinstance(metadata, Mapping):
            given += framework_ids(metadata, METADATA, keys=keys)
        entry = Entry()
        self.root = tracer.start(
            str(tracing.get("workflow_name") or _DEFAULT_NAME),
            "CHAIN",
            framework=given,
            attributes={GROUP: framework_id(tracing.get("group_id"))},
            inside=entry.inside,
        )
        enter(entry, self.root.context)
        self.entry: Entry | None = entry

    def close(self, error: BaseException | None = None) -> None:
        """End everything that is open."""
        if self.entry is not None:
            leave(self.entry)
            self.entry = None
        if not self.root.is_recording:
            return
        if self._response is not None:
            self._end_response(cancelled=True)
        if self._part is not None:
            self._part.over = True
            self._part.end_if_over()
        messages = list(self._history.values())
        words = next((text_of((item,)) for item in messages if item.role == "user"), None)
        said = next((text_of((item,)) for item in reversed(messages) if item.role == "assistant"), None)
        shown = io_attributes(input=words, output=said) if self._show else {}
        self.root.end(error=error or self._error, attributes=shown)

    def take(self, event: Any) -> None:
        """Take an event of the session; those of no interest cost a look."""
        handle = _EVENTS.get(get(event, "type"))
        if handle is not None and self.root.is_recording:
            handle(self, event)

    def raw(self, event: Any) -> None:
        data = get(event, "data")
        handle = _RAW.get(get(data, "type"))
        if handle is not None:
            handle(self, data)

    def server_said(self, data: Any) -> None:
        said = get(data, "data")
        if get(said, "type") == "session.created":
            found = framework_id(get(get(said, "session"), "id"))
            if found is not None and not self._provider_id:
                self._provider_id = (FrameworkID(found, PROVIDER_SESSION),)
                self.root.set({PROVIDER_SESSION: found})

    def failed(self, data: Any) -> None:
        error = get(data, "exception")
        self._error = error if isinstance(error, BaseException) else self._error

    def history(self, event: Any) -> None:
        items = get(event, "history")
        if items is None:
            items = (get(event, "item"),)
        else:
            self._history = {}
        self._history |= {get(item, "item_id"): message_of(item) for item in items}

    def response_starts(self, data: Any) -> None:
        if self._response is None:
            live = self._tracer.start("response", "LLM", parent=self._part_of(self._agent).live)
            self._response = Response(live, get(data, "response_id"))

    def response_speaks(self, data: Any) -> None:
        self.response_starts(data)
        self.response_tells(data)

    def response_tells(self, data: Any) -> None:
        if self._response is not None:
            self._response.add(data)

    def response_ends(self, _data: Any) -> None:
        self._end_response()

    def interrupted(self, event: Any) -> None:
        live = self.root if self._response is None else self._response.live
        live.event("audio_interrupted", {"item_id": str(get(event, "item_id"))})

    def agent_starts(self, event: Any) -> None:
        self._agent = get(event, "agent")

    def error(self, event: Any) -> None:
        told = get(event, "error")
        text = told if isinstance(told, str) else str(get(told, "message") or dumps(told))
        live = self.root if self._part is None else self._part.live
        live.event("error", {"error.message": text if self._show else "Error"})

    def tool_starts(self, event: Any) -> None:
        tool, arguments = get(event, "tool"), get(event, "arguments")
        part = self._part_of(get(event, "agent"))
        attributes = tool_attributes(
            str(get(tool, "name")),
            description=get(tool, "description"),
            arguments=arguments if self._show else None,
            id=getattr(locals_of(_CALL).get("event"), "call_id", None),
            json_schema=get(tool, "params_json_schema"),
        )
        if self._show:
            attributes |= arguments_as_input(arguments)
        entry = Entry()
        live = self._tracer.start(
            str(get(tool, "name")), "TOOL", parent=part.live, attributes=attributes, inside=entry.inside
        )
        running = _Tool(live, part, entry)
        part.running += 1
        enter(entry, live.context)
        _tool.set(running)

    def tool_ends(self, event: Any) -> None:
        running = _tool.get()
        if running is not None:
            _tool.set(None)
            running.end(**(io_attributes(output=get(event, "output")) if self._show else {}))

    def hands_over(self, event: Any) -> None:
        source, target = get(event, "from_agent"), get(event, "to_agent")
        before = self._part_of(source)
        names = str(get(source, "name")), str(get(target, "name"))
        attributes = tool_attributes("handoff", id=getattr(locals_of(_CALL).get("event"), "call_id", None))
        attributes |= io_attributes(input=names[0], output=names[1])
        attributes |= {"openai_agents.handoff.from": names[0], "openai_agents.handoff.to": names[1]}
        handoff = self._tracer.start(
            f"handoff to {names[1]}", "TOOL", parent=before.live, attributes=attributes
        )
        handoff.end()
        self._agent = target
        self._part_of(target)

    def tripped(self, event: Any) -> None:
        part = self._part_of(self._agent)
        for result in get(event, "guardrail_results") or ():
            guardrail = get(result, "guardrail")
            name = getattr(guardrail, "get_name", lambda: "guardrail")()
            outcome: dict[str, Any] = {"triggered": True}
            info = get(get(result, "output"), "output_info")
            if self._show and info is not None:
                outcome["output_info"] = info
            attributes = {"openai_agents.guardrail.triggered": True, "openai_agents.guardrail.side": "output"}
            attributes |= io_attributes(input=get(event, "message") if self._show else None, output=outcome)
            self._tracer.start(str(name), "GUARDRAIL", parent=part.live, attributes=attributes).end()

    def _part_of(self, agent: Any) -> _Part:
        """Return the part of an agent that speaks now; the part of the one before it is over."""
        name = str(get(agent, "name") or "agent")
        if self._part is not None and self._part.name == name:
            return self._part
        before = self._part
        attributes = agent_attributes(name) | graph_node_attributes(
            name, name=name, parent_id=None if before is None else before.name
        )
        live = self._tracer.start(
            name, "AGENT", parent=self.root, framework=self._provider_id, attributes=attributes
        )
        self.root.adopt_session(live)
        self._part = _Part(live, name)
        if before is not None:
            before.over = True
            before.end_if_over()
        return self._part

    def _end_response(self, *, cancelled: bool = False) -> None:
        response, self._response = self._response, None
        if response is None:
            return
        heard = [message for key, message in self._history.items() if key not in response.item_ids]
        attributes = response.attributes(
            heard, show=self._show, client=self._client, model=self._model, parameters=self._parameters
        )
        if cancelled:
            attributes[CANCELLED] = True
        response.live.end(ok=not cancelled, attributes=attributes)
        said = response.text()
        if said and not response.item_ids & self._history.keys():
            self._history[next(iter(response.item_ids))] = Message("assistant", said)
        if self._show and self._part is not None:
            self._part.live.set(io_attributes(input=last_words(heard), output=said))


def tool_failed(error: BaseException) -> None:
    """Take what a tool of a realtime session raised before the SDK turns it into an answer."""
    running = _tool.get()
    if running is not None:
        running.error = error


def is_disabled(session: Any) -> bool:
    """Tell whether tracing is disabled for a session."""
    return bool((getattr(session, "_run_config", None) or {}).get("tracing_disabled"))


def _settings_of(session: Any) -> Mapping[str, Any]:
    """Return the settings of the model, those of the session before those of the run (0.24)."""
    run = (getattr(session, "_run_config", None) or {}).get("model_settings") or {}
    given = (getattr(session, "_model_config", None) or {}).get("initial_model_settings") or {}
    return {**run, **given}


def _error_of(task: asyncio.Task[Any]) -> BaseException | None:
    if task.cancelled():
        return asyncio.CancelledError()
    return task.exception()


_EVENTS: Final[Mapping[str, Callable[[Conversation, Any], None]]] = {
    "agent_start": Conversation.agent_starts,
    "audio_interrupted": Conversation.interrupted,
    "error": Conversation.error,
    "guardrail_tripped": Conversation.tripped,
    "handoff": Conversation.hands_over,
    "history_added": Conversation.history,
    "history_updated": Conversation.history,
    "raw_model_event": Conversation.raw,
    "tool_end": Conversation.tool_ends,
    "tool_start": Conversation.tool_starts,
}
_RAW: Final[Mapping[str, Callable[[Conversation, Any], None]]] = {
    "exception": Conversation.failed,
    "function_call": Conversation.response_tells,
    "output_text_delta": Conversation.response_speaks,
    "raw_server_event": Conversation.server_said,
    "transcript_delta": Conversation.response_speaks,
    "turn_ended": Conversation.response_ends,
    "turn_started": Conversation.response_starts,
    "usage": Conversation.response_tells,
}
