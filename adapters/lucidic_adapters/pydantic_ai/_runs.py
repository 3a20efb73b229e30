"""What is known of the agent run, model request or embedding that is going on: handed from hooks to spans."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic_ai.messages import ModelMessage, ModelResponse

from lucidic.adapterkit import FrameworkID, framework_id, framework_ids
from lucidic_adapters.pydantic_ai._history import History, OfferedTools


NEW_CONVERSATION: Final = "new"
"""PydanticAI's word for "start a conversation of its own"; never an id."""
_UUID7: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE
)


@dataclass(eq=False)
class Run:
    """One run of an agent: what the caller gave, and the objects that the SDK made of it."""

    agent: Any = None
    prompt: Any = None
    history: Sequence[ModelMessage] = ()
    conversation_id: Any = None
    conversation: Any = None
    metadata: Any = None
    deps: Any = None
    live: bool = False
    """A realtime session: it has no result, and lasts until its caller leaves it."""
    outer: Run | None = None
    context: Any = None
    """The SDK's ``RunContext``, where a hook gave it (pydantic-ai 1.95 and later)."""
    agent_run: Any = None
    """The SDK's ``AgentRun``, once the run iterates."""
    result: Any = None
    """The SDK's ``AgentRunResult``."""
    started: bool = False
    """The run's span has started; what starts next is another run's."""
    ended: bool = False
    left: bool = False
    """The caller has left the block around the run; what is still open is being wound up."""
    error: BaseException | None = None
    """The exception with which the caller left it."""
    waiting: list[Callable[[], None]] = field(default_factory=list)
    """Ends of spans that the SDK cancelled: only how the run is left says whether they broke or were stopped."""
    tools: dict[str, Any] = field(default_factory=dict)
    """The tool definitions offered to the model so far, by name."""
    input: History = field(default_factory=History)
    """What the model was sent so far, translated."""
    sent: Sequence[ModelMessage] = ()
    """What the model was sent last."""
    offered: OfferedTools = field(default_factory=OfferedTools)
    """What it was offered with the last request, translated."""
    response: ModelResponse | None = None
    """The model's last words, for runs that end without a result."""

    def leave(self, error: BaseException | None) -> None:
        """Note how the caller leaves the run, and end the spans that waited to know."""
        self.left, self.error = True, error
        while self.waiting:
            self.waiting.pop()()

    @property
    def finished(self) -> bool:
        """True once the run has a result, or needs none."""
        return self.live or self.result is not None or getattr(self.agent_run, "result", None) is not None

    def learn(self, parameters: Any) -> None:
        """Remember the tools that a request offered: a tool's span says what the tool is."""
        for tool in (
            *(getattr(parameters, "function_tools", ()) or ()),
            *(getattr(parameters, "output_tools", ()) or ()),
        ):
            self.tools[tool.name] = tool

    def framework_ids(self, keys: tuple[str, ...]) -> tuple[FrameworkID, ...]:
        """Return the ids that the caller gave this run, the strongest first."""
        found: list[FrameworkID] = []
        explicit = framework_id(self.conversation_id)
        if explicit is not None and explicit != NEW_CONVERSATION:
            found.append(FrameworkID(explicit, "pydantic_ai.conversation_id"))
        carried = _given_id(getattr(self.conversation, "conversation_id", None))
        if carried is not None:
            found.append(FrameworkID(carried, "pydantic_ai.conversation"))
        found += self._metadata_ids(keys)
        if explicit != NEW_CONVERSATION and (inherited := history_id(self.history)) is not None:
            found.append(FrameworkID(inherited, "pydantic_ai.message_history"))
        return tuple(found)

    def _metadata_ids(self, keys: tuple[str, ...]) -> list[FrameworkID]:
        agents = getattr(self.agent, "_metadata", None)
        own: Mapping[str, Any]
        base: Mapping[str, Any]
        if self.context is None:
            own, base = (_resolved(each, self._metadata_context) for each in (self.metadata, agents))
        else:
            # The agent's and the run's are one mapping there, in which the run's values have won.
            merged = getattr(self.context, "metadata", None) or {}
            fixed = agents if isinstance(agents, Mapping) else {}
            if isinstance(self.metadata, Mapping):
                own = {key: value for key, value in merged.items() if self.metadata.get(key) == value}
            else:
                own = {
                    key: value for key, value in merged.items() if self.metadata and fixed.get(key) != value
                }
            base = {**fixed, **merged} if merged else {}
            base = {key: fixed.get(key) if key in own else value for key, value in base.items()}
        return [
            *framework_ids(own, "pydantic_ai.metadata", keys=keys),
            *framework_ids(base, "pydantic_ai.agent_metadata", keys=keys),
        ]

    def _metadata_context(self) -> Any:
        """Make the context that metadata functions take, for releases that resolve them after the span's start."""
        from pydantic_ai import RunContext
        from pydantic_ai.usage import RunUsage

        return RunContext(
            deps=self.deps,
            model=getattr(self.agent, "model", None),  # type: ignore[arg-type]  # a name before it is resolved
            usage=RunUsage(),
            prompt=self.prompt,
            messages=list(self.history),
        )


def _resolved(metadata: Any, context: Callable[[], Any]) -> Mapping[str, Any]:
    if callable(metadata):
        try:
            metadata = metadata(context())
        except Exception:  # noqa: BLE001  # a user's function; the SDK calls it again and raises where it belongs
            return {}
    return metadata if isinstance(metadata, Mapping) else {}


def history_id(history: Sequence[ModelMessage] | None) -> str | None:
    """Return the conversation that the messages were part of, by the id that the caller once gave it.

    PydanticAI gives every run without an id a version 7 UUID of its own (1.88 and later); those are passed over.
    """
    for message in reversed(history or ()):
        value = getattr(message, "conversation_id", None)
        if value is not None:
            return _given_id(value)
    return None


def _given_id(value: object) -> str | None:
    found = framework_id(value)
    return None if found is None or _UUID7.fullmatch(found) else found


@dataclass(slots=True)
class Request:
    """One request to a model, as the SDK is about to send it."""

    messages: Sequence[ModelMessage]
    settings: Mapping[str, Any] | None
    parameters: Any
    model: Any
    direct: bool = False
    """Sent by the user's code, not by a run, though perhaps from inside a tool."""


_run: ContextVar[Run | None] = ContextVar("lucidic_pydantic_ai_run", default=None)
_request: ContextVar[Request | None] = ContextVar("lucidic_pydantic_ai_request", default=None)


def current_run() -> Run | None:
    """Return the innermost run that goes on here; runs that ended in another context are passed over."""
    run = _run.get()
    while run is not None and run.ended:
        run = run.outer
    return run


def enter(run: Run) -> None:
    """Make ``run`` the current one."""
    run.outer = current_run()
    _run.set(run)


def leave(run: Run) -> None:
    """Close ``run``; harmless in a context that never saw it (a generator closed by another task)."""
    run.ended = True
    if _run.get() is run:
        _run.set(run.outer)


def announce(request: Request) -> None:
    """Hand a request to the span that the SDK is about to start for it."""
    _request.set(request)


def announced() -> Request | None:
    """Take the request that was handed over."""
    request = _request.get()
    if request is not None:
        _request.set(None)
    return request
