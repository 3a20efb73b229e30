"""What users need to test their own agents and their traces."""

from __future__ import annotations

from lucidic.testing._capture import CapturedSpans, capture_spans, session_id_of
from lucidic.testing._hosted_server import FakeLucidic, HostedRequest, HostedSession
from lucidic.testing._openinference import assert_openinference, validate_openinference
from lucidic.testing._openinference_rules import Violation
from lucidic.testing._scripted_reply import Reply, ToolCall, Usage
from lucidic.testing._scripted_request import ScriptedRequest
from lucidic.testing._scripted_server import ScriptedServer


__all__ = [
    "CapturedSpans",
    "FakeLucidic",
    "HostedRequest",
    "HostedSession",
    "Reply",
    "ScriptedRequest",
    "ScriptedServer",
    "ToolCall",
    "Usage",
    "Violation",
    "assert_openinference",
    "capture_spans",
    "session_id_of",
    "validate_openinference",
]
