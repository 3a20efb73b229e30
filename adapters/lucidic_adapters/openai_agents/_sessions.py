"""The ids of a run that can name its session, in the SDK's own documented order."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final
from weakref import ref

from lucidic.adapterkit import FrameworkID, framework_id, framework_ids
from lucidic_adapters.openai_agents._frames import RUN, locals_of


CONVERSATION: Final = "openai_agents.conversation_id"
SESSION: Final = "openai_agents.session_id"
GROUP: Final = "openai_agents.group_id"
PREVIOUS_RESPONSE: Final = "openai_agents.previous_response_id"
METADATA: Final = "openai_agents.metadata"
_INPUTS: Final = ("original_user_input", "original_input", "starting_input", "input")
"""Where the SDK's frames keep what the run was started with."""
_STREAMED: Final = "streamed_result"
"""Where the frame of a streamed run keeps what its caller was given (0.19 to 0.24)."""


class RunCall:
    """What the caller passed to one run; callbacks are told nothing of it."""

    __slots__ = (
        "conversation_id", "ending", "error", "group_id", "include_data", "input", "metadata", "previous_response_id",
        "result", "seen", "session", "taken",
    )  # fmt: skip

    def __init__(self, input: object, options: Mapping[str, Any]) -> None:
        """Take the arguments of ``Runner.run``; ``input`` may be a ``RunState`` that is resumed."""
        self.input = input
        config = options.get("run_config")
        self.group_id = _field(config, "group_id")
        self.metadata = _field(config, "trace_metadata")
        self.conversation_id = options.get("conversation_id") or getattr(input, "_conversation_id", None)
        self.session = options.get("session")
        self.previous_response_id = options.get("previous_response_id")
        self.include_data = includes_data(config)
        self.result: Any = None
        """What the run gave; for a streamed one, a weak reference to its result."""
        self.error: BaseException | None = None
        self.ending: list[Any] | None = None
        """Spans that wait for the result; ``None`` where nobody will bring one."""
        self.seen = False
        """A callback came during this run."""
        self.taken = False
        """A task or workflow has this call's input; a later one of the same context is another run."""


current_call: ContextVar[RunCall | None] = ContextVar("lucidic_agents_call", default=None)


def call_here() -> RunCall | None:
    """Return the run that this callback belongs to: the wrapper's, else what the SDK's frame shows."""
    call = current_call.get()
    if call is not None and not call.taken:
        return call
    frame = locals_of(RUN)
    if not frame:
        return None
    call = RunCall(next((frame[name] for name in _INPUTS if frame.get(name)), None), frame)
    if (streamed := frame.get(_STREAMED)) is not None:
        call.result = ref(streamed)
    return call


def includes_data(config: object) -> bool:
    """Tell whether a run configuration (or the environment) allows content in traces."""
    chosen = _field(config, "trace_include_sensitive_data")
    if isinstance(chosen, bool):
        return chosen
    asked = os.environ.get("OPENAI_AGENTS_TRACE_INCLUDE_SENSITIVE_DATA", "true")
    return asked.strip().lower() in ("1", "true", "yes", "on")


def session_ids(call: RunCall | None, trace: object, keys: tuple[str, ...]) -> tuple[FrameworkID, ...]:
    """Return what may name the session: conversation, SDK session, group, metadata (``run_grouping.py``, 0.24).

    Read anew whenever a span starts: some sessions get their id only with their first request (``comes_late``).
    """
    found: list[FrameworkID] = []
    if call is not None:
        _add(found, call.conversation_id, CONVERSATION)
        _add(found, id_of_session(call.session), SESSION)
        _add(found, call.group_id, GROUP)
    _add(found, getattr(trace, "group_id", None), GROUP)
    for metadata in (
        None if call is None else call.metadata,
        getattr(trace, "metadata", None),
    ):
        if metadata and isinstance(metadata, Mapping):
            found += framework_ids(metadata, METADATA, keys=keys)
    return tuple(found)


def id_of_session(session: object) -> object:
    """Return the id of an SDK session, ``None`` as long as it has none (it raises then)."""
    if session is None:
        return None
    try:
        return getattr(session, "session_id", None)
    except Exception:  # noqa: BLE001  # a user's class; the SDK passes over its errors as well
        return None


def comes_late(call: RunCall | None) -> bool:
    """Tell whether a run's SDK session makes its id later, as ``OpenAIConversationsSession`` says by ``ValueError``.

    A streamed run starts before that. What is weaker has to wait, or its first turn would be in another session.
    """
    if call is None or call.session is None or framework_id(call.conversation_id) is not None:
        return False
    try:
        _ = call.session.session_id
    except ValueError:
        return True
    except Exception:  # noqa: BLE001  # a user's class
        return False
    return False


def id_attributes(call: RunCall | None, trace: object) -> dict[str, Any]:
    """Return the SDK's own ids as attributes of their own, whether or not they name the session."""
    found: dict[str, Any] = {}
    if call is not None:
        found[CONVERSATION] = framework_id(call.conversation_id)
        found[SESSION] = framework_id(id_of_session(call.session))
        found[PREVIOUS_RESPONSE] = framework_id(call.previous_response_id)
        found[GROUP] = framework_id(call.group_id)
    if found.get(GROUP) is None:
        found[GROUP] = framework_id(getattr(trace, "group_id", None))
    return found


def _add(found: list[FrameworkID], value: object, source: str) -> None:
    known = None if value is None else framework_id(value)
    if known is not None:
        found.append(FrameworkID(known, source))


def _field(config: object, name: str) -> Any:
    return config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)
