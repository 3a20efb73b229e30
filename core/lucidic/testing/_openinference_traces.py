"""Rules about graphs, the structure of traces, and sessions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from openinference.semconv.trace import SpanAttributes

from lucidic._spans._attributes import CONVERSATION_ID, LUCIDIC_SESSION_ID, SESSION_ID
from lucidic.testing._openinference_rules import ANNOTATIONS, Finding, short, span_rule, trace_rule
from lucidic.testing._openinference_spans import REDACTED, Seen, Trace
from lucidic.testing._openinference_values import looks_like_json


_LANGFUSE: Final = "langfuse.session.id"
_ALIASES: Final = (CONVERSATION_ID, LUCIDIC_SESSION_ID, _LANGFUSE)
_MAX_ID: Final = 200
"""Characters; Langfuse drops longer ids, MLflow refuses whole batches above 250."""


@trace_rule("G1", "error", "graph.node.parent_id names a node of the trace")
def _graph(trace: Trace) -> Iterator[Finding]:
    nodes = [span.attributes.get(SpanAttributes.GRAPH_NODE_ID) for span in trace.spans]
    for span in trace.spans:
        parent = span.attributes.get(SpanAttributes.GRAPH_NODE_PARENT_ID)
        if parent and parent not in nodes:
            yield Finding(span, f"graph.node.parent_id is {short(parent)}, which is no node of the trace")


@span_rule("P1", "error", "spans end, and not before they start")
def _ended(span: Seen) -> Iterator[str]:
    if not span.ended:
        yield "the span has not ended"
    elif span.start_ns is not None and span.end_ns is not None and span.end_ns < span.start_ns:
        yield f"the span ends {span.start_ns - span.end_ns} ns before it starts"


@trace_rule("P2", "warning", "spans start within their parents")
def _within_parent(trace: Trace) -> Iterator[Finding]:
    for span in trace.spans:
        parent = trace.by_id.get(span.parent_id or "")
        if parent is None or span.start_ns is None:
            continue
        if parent.start_ns is not None and span.start_ns < parent.start_ns:
            yield Finding(span, f"starts before its parent, {parent}")
        elif parent.end_ns is not None and span.start_ns > parent.end_ns and not _annotates(span):
            yield Finding(span, f"starts after the end of its parent, {parent}")


@trace_rule("P3", "error", "parents are present in the trace")
def _orphans(trace: Trace) -> Iterator[Finding]:
    for span in trace.spans:
        # A parent in another process is not expected among these spans.
        if span.parent_id and span.parent_id not in trace.by_id and not span.remote_parent:
            yield Finding(span, f"its parent {span.parent_id} is not in the trace")


@trace_rule("P4", "error", "span ids are unique")
def _unique(trace: Trace) -> Iterator[Finding]:
    for span in trace.spans:
        if trace.by_id[span.span_id] is not span:
            yield Finding(span, "another span has the same id: Phoenix keeps the one that arrives first")


@span_rule("P5", "error", "no attribute was dropped")
def _dropped(span: Seen) -> Iterator[str]:
    if span.dropped:
        yield f"{span.dropped} attributes were dropped by the span's limits"


@trace_rule("S0", "error", "every trace has a session.id", session=True)
def _has_session(trace: Trace) -> Iterator[Finding]:
    if not trace.sessions:
        yield Finding((trace.roots or trace.spans)[0], "no span of the trace has session.id")


@trace_rule("S1", "error", "every span of a trace with a session has session.id", session=True)
def _every_span(trace: Trace) -> Iterator[Finding]:
    for span in trace.spans:
        if trace.sessions and SESSION_ID not in span.attributes:
            yield Finding(
                span, f"session.id is missing; the trace is of session {short(trace.sessions[0][1])}"
            )


@trace_rule("S2", "error", "a trace has one session.id", session=True)
def _one_session(trace: Trace) -> Iterator[Finding]:
    first, *others = [found for _, found in trace.sessions] or [None]
    for span in trace.spans:
        if (found := span.attributes.get(SESSION_ID)) in others:
            yield Finding(span, f"session.id is {short(found)}, others of the trace have {short(first)}")


@trace_rule("S3", "error", "session.id is a string that every backend takes", session=True)
def _takeable(trace: Trace) -> Iterator[Finding]:
    for span, found in trace.sessions:
        if not isinstance(found, str):
            yield Finding(span, f"session.id is {type(found).__name__}, not a string")
        elif not found.strip():
            yield Finding(span, "session.id is blank")
        else:
            # Ids are kept as they are given, so what only some backends refuse is a warning.
            yield from (Finding(span, f"session.id {short(found)} {why}", "warning") for why in _odd(found))


@trace_rule("S4", "error", "the other session ids equal session.id", session=True)
def _aliases(trace: Trace) -> Iterator[Finding]:
    for span in trace.spans:
        for key in _ALIASES:
            found, wanted = span.attributes.get(key), span.attributes.get(SESSION_ID)
            if key == _LANGFUSE and isinstance(wanted, str) and any(_odd(wanted)):
                continue  # Langfuse gets another one in place of an id that it would drop
            if found is not None and wanted is not None and found != wanted:
                yield Finding(span, f"{key} is {short(found)}, session.id is {short(wanted)}")


@trace_rule("S5", "error", "a trace has one root", session=True)
def _one_root(trace: Trace) -> Iterator[Finding]:
    parentless = [span for span in trace.spans if span.parent_id is None]
    for span in parentless[1:]:
        yield Finding(span, f"a second root; the first is {parentless[0]}")
    if not trace.roots:
        yield Finding(trace.spans[0], "the trace has no root")


@trace_rule("S6", "warning", "roots have input.value and, unless they failed, output.value", session=True)
def _root_io(trace: Trace) -> Iterator[Finding]:
    for span in trace.roots:
        if SpanAttributes.INPUT_VALUE not in span.attributes:
            yield Finding(span, "the root has no input.value: the turn shows as empty")
        if span.succeeded and SpanAttributes.OUTPUT_VALUE not in span.attributes:
            yield Finding(span, "the root has no output.value: the turn shows as unanswered")


@trace_rule("S7", "warning", "a root's input and output are readable text", session=True)
def _readable(trace: Trace) -> Iterator[Finding]:
    for span in trace.roots:
        for key in (SpanAttributes.INPUT_VALUE, SpanAttributes.OUTPUT_VALUE):
            value = span.attributes.get(key)
            if value != REDACTED and looks_like_json(value):
                yield Finding(span, f"the root's {key} is JSON, which a turn shows as it is: {short(value)}")


@trace_rule("S8", "warning", "user.id is the same on all spans of a trace", session=True)
def _one_user(trace: Trace) -> Iterator[Finding]:
    users = [(span, span.attributes.get(SpanAttributes.USER_ID)) for span in trace.spans]
    first = next((user for _, user in users if user is not None), None)
    for span, user in users:
        if user is not None and user != first:
            yield Finding(span, f"user.id is {short(user)}, others of the trace have {short(first)}")
        elif user is None and first is not None and span in trace.roots:
            # Phoenix labels a turn with its root's user.
            yield Finding(span, f"the root has no user.id, others of the trace have {short(first)}")


def _annotates(span: Seen) -> bool:
    """Tell whether a span carries somebody's opinion, which comes when all else is over."""
    return any(span.items(prefix) for prefix, _item in ANNOTATIONS)


def _odd(id: str) -> Iterator[str]:
    if id != id.strip():
        yield "has blanks at its ends: Phoenix strips them"
    if len(id) > _MAX_ID:
        yield f"has {len(id)} characters: Langfuse drops ids above {_MAX_ID}, MLflow refuses above 250"
    if not id.isascii():
        yield "is not ASCII: Langfuse drops it"
    if "/" in id:
        yield "has a '/': Phoenix cannot read such a session back"
