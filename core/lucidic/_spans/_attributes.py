"""The attribute keys of our own; OpenInference's come from ``openinference.semconv``."""

from __future__ import annotations

from typing import Final


LUCIDIC_SESSION_ID: Final = "lucidic.session_id"
SESSION_ID: Final = "session.id"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
SESSION_KEYS: Final = (LUCIDIC_SESSION_ID, SESSION_ID, CONVERSATION_ID)
"""The three session ids of every span; always equal."""

SESSION_SOURCE: Final = "lucidic.session.source"
"""Which rule of the precedence table named the session."""
INNER_ID: Final = "lucidic.framework_id"
"""Prefix: a framework's own id that did not become the session, ``lucidic.framework_id.<key>``."""

STOPPED_EARLY: Final = "lucidic.stopped_early"
CANCELLED: Final = "lucidic.cancelled"
INCOMPLETE: Final = "lucidic.incomplete"
"""True on a span that nobody ended: its run's end, the exit or a later process did."""
STEP_ID: Final = "lucidic.step_id"
LOCAL_ROOT: Final = "lucidic.local_root"
"""True on the first span of a turn whose parent is in a process that knows of no session."""
TOKENS_ABOVE: Final = "lucidic.tokens_counted_above"
"""True on a client's span whose tokens the framework's span above it counts."""
