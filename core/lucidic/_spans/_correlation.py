"""Whose session is it? One table for all frameworks, decided once, when the span starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from lucidic._ids import framework_id


SessionFrom = Literal["block", "framework"]
"""Which of an explicit block and a framework's id outranks the other; ``block`` is the default."""

Source = Literal["handler", "bound", "parent", "framework", "init"]
"""The rule that named the session."""

SESSION_METADATA_KEYS = ("lucidic_session_id", "session_id", "conversation_id", "thread_id")
"""Metadata keys that name a session, in order of precedence: the one that is ours alone, then OpenInference's order."""


class FrameworkID(NamedTuple):
    """An id that a framework gave, and where it stood (``langchain.metadata.thread_id``)."""

    value: str
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """All that the decision looks at. Nothing else is ever consulted."""

    handler_id: str | None = None
    """The id given to the handler itself."""
    bound_id: str | None = None
    """The session of the innermost block in the context in which the span starts."""
    bound_inside_parent: bool = False
    """The block was entered inside the span's parent."""
    cleared: bool = False
    """The context says "no session here" explicitly."""
    parent_id: str | None = None
    """The session of the parent span or enclosing run."""
    framework: tuple[FrameworkID, ...] = ()
    """The framework's ids of the root run, the strongest first."""
    init_ids: tuple[str, ...] = ()
    """The sessions of this process that are open through ``init()``."""
    session_from: SessionFrom = "block"


class Decision(NamedTuple):
    """The session of a span, and why; ``session_id`` is ``None`` for an unattributed one."""

    session_id: str | None
    source: Source | None = None
    framework: FrameworkID | None = None
    """The framework's id that named the session."""
    unused: tuple[FrameworkID, ...] = ()
    """Framework ids that did not become the session, kept as attributes of their own."""


def whose_session(evidence: Evidence) -> Decision:
    """Decide the session of a span; the first match wins.

    1. the id given to the handler itself;
    2. the block bound in the current context, if it was entered inside the span's parent, or if no
       parent has a session;
    3. the session of the span's parent or enclosing run;
    4. the framework's id of the root run;
    5. the one session of this process that is open through ``init()``, if there is exactly one;
    6. none.

    With ``session_from="framework"`` rules 2 and 4 change places. An id of the framework never
    outranks a parent's session: it names a session only where a trace has none.
    """
    if evidence.handler_id is not None:
        return _decide(evidence, evidence.handler_id, "handler")
    block_first = evidence.session_from == "block"
    if block_first and (found := _by_block(evidence)):
        return found
    if not block_first and (found := _by_framework(evidence)):
        return found
    if evidence.parent_id is not None:
        return _decide(evidence, evidence.parent_id, "parent")
    found = _by_framework(evidence) if block_first else _by_block(evidence)
    if found:
        return found
    if len(evidence.init_ids) == 1 and not evidence.cleared:
        return _decide(evidence, evidence.init_ids[0], "init")
    return _decide(evidence, None, None)


def _by_block(evidence: Evidence) -> Decision | None:
    if evidence.bound_id is None:
        return None
    if evidence.parent_id is not None and not evidence.bound_inside_parent:
        return None
    return _decide(evidence, evidence.bound_id, "bound")


def _by_framework(evidence: Evidence) -> Decision | None:
    if evidence.parent_id is not None or not evidence.framework:
        return None
    first = evidence.framework[0]
    return Decision(
        session_id=first.value, source="framework", framework=first, unused=_others(evidence, first.value)
    )


def _decide(evidence: Evidence, session_id: str | None, source: Source | None) -> Decision:
    return Decision(session_id=session_id, source=source, unused=_others(evidence, session_id))


def _others(evidence: Evidence, session_id: str | None) -> tuple[FrameworkID, ...]:
    if not evidence.framework:
        return ()
    return tuple(found for found in evidence.framework if found.value != session_id)


def framework_ids(
    metadata: Mapping[str, Any] | None, source: str, *, keys: tuple[str, ...] = SESSION_METADATA_KEYS
) -> tuple[FrameworkID, ...]:
    """Read the session ids of a framework's metadata, the strongest first.

    Values that are no id (empty, ``None``, booleans, containers) are passed over; ints and UUIDs
    become text.

    Args:
        metadata: The framework's mapping, or ``None``.
        source: Where it stands, for example ``"langchain.metadata"``; the key is appended.
        keys: The keys to read, in order of precedence.

    """
    if not metadata:
        return ()
    found = []
    for key in keys:
        value = framework_id(metadata.get(key))
        if value is not None:
            found.append(FrameworkID(value, f"{source}.{key}"))
    return tuple(found)
