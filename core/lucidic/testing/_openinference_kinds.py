"""Rules about the other kinds of span, annotations and exceptions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from openinference.semconv.trace import DocumentAttributes, SpanAttributes

from lucidic._spans._attributes import SESSION_ID
from lucidic.testing._openinference_rules import ANNOTATIONS, parsed, short, span_rule
from lucidic.testing._openinference_spans import Seen


@span_rule("O1", "error", "TOOL spans have tool.name", kinds=("TOOL",))
def _tool_name(span: Seen) -> Iterator[str]:
    if not span.attributes.get(SpanAttributes.TOOL_NAME):
        yield "tool.name is missing"


@span_rule("O2", "warning", "TOOL spans have input and, unless they failed, output", kinds=("TOOL",))
def _tool_io(span: Seen) -> Iterator[str]:
    given = span.attributes
    if SpanAttributes.INPUT_VALUE not in given and SpanAttributes.TOOL_PARAMETERS not in given:
        yield "neither input.value nor tool.parameters"
    if span.succeeded and SpanAttributes.OUTPUT_VALUE not in given:
        yield "output.value is missing"


@span_rule("O3", "info", "TOOL spans have tool.id, which joins them to the call", kinds=("TOOL",))
def _tool_id(span: Seen) -> Iterator[str]:
    if not span.attributes.get(SpanAttributes.TOOL_ID):
        yield "tool.id is missing"


@span_rule("O4", "warning", "RETRIEVER spans have input and documents with content", kinds=("RETRIEVER",))
def _retriever(span: Seen) -> Iterator[str]:
    if SpanAttributes.INPUT_VALUE not in span.attributes:
        yield "input.value is missing"
    documents = span.items(SpanAttributes.RETRIEVAL_DOCUMENTS)
    found_nothing = parsed(span.attributes.get(SpanAttributes.OUTPUT_VALUE)) == []
    if span.succeeded and not documents and not found_nothing:
        yield "retrieval.documents is missing"
    for index, document in documents.items():
        if DocumentAttributes.DOCUMENT_CONTENT not in document:
            yield f"retrieval.documents.{index}.document.content is missing"


@span_rule("O5", "warning", "AGENT spans have agent.name", kinds=("AGENT",))
def _agent(span: Seen) -> Iterator[str]:
    if not span.attributes.get(SpanAttributes.AGENT_NAME):
        yield "agent.name is missing"


@span_rule("O6", "warning", "EMBEDDING spans are named and described as specified", kinds=("EMBEDDING",))
def _embedding(span: Seen) -> Iterator[str]:
    if not span.attributes.get(SpanAttributes.EMBEDDING_MODEL_NAME):
        yield "embedding.model_name is missing"
    if span.name != "CreateEmbeddings":
        yield f"the span is named {span.name!r}, not 'CreateEmbeddings'"
    for key in (SpanAttributes.LLM_SYSTEM, SpanAttributes.LLM_PROVIDER):
        if key in span.attributes:
            yield f"{key} has no place on an EMBEDDING span"


@span_rule("O7", "info", "tool.parameters hold the call's arguments, not the schema")
def _tool_parameters(span: Seen) -> Iterator[str]:
    found = parsed(span.attributes.get(SpanAttributes.TOOL_PARAMETERS))
    if (
        isinstance(found, dict)
        and found.get("type") == "object"
        and isinstance(found.get("properties"), dict)
    ):
        yield "tool.parameters is a JSON schema; most producers write the arguments of the call"


@span_rule("A1", "error", "annotations have a name and a score, label or explanation")
def _annotations(span: Seen) -> Iterator[str]:
    for prefix, item in ANNOTATIONS:
        found = span.items(prefix)
        for index, annotation in found.items():
            if not annotation.get(f"{item}.name"):
                yield f"{prefix}.{index}.{item}.name is missing"
            if not any(f"{item}.{field}" in annotation for field in ("score", "label", "explanation")):
                yield f"{prefix}.{index} has neither score, label nor explanation"
        if found and prefix.startswith("session.") and SESSION_ID not in span.attributes:
            yield f"{prefix} on a span without session.id"


@span_rule("X1", "error", "ERROR comes with an exception or a status message")
def _reason(span: Seen) -> Iterator[str]:
    if span.failed and not span.exceptions and not span.status_message:
        yield "the status is ERROR, with neither an exception event nor a message"


@span_rule("X2", "error", "exception events have a type or a message")
def _exceptions(span: Seen) -> Iterator[str]:
    for event in span.exceptions:
        if not event.attributes.get("exception.type") and not event.attributes.get("exception.message"):
            yield "an exception event has neither exception.type nor exception.message"


@span_rule("X3", "warning", "an exception is recorded once")
def _recorded_once(span: Seen) -> Iterator[str]:
    told = Counter(
        (str(event.attributes.get("exception.type")), str(event.attributes.get("exception.message")))
        for event in span.exceptions
    )
    for (kind, message), times in told.items():
        if times > 1:
            yield f"{kind}: {short(message)} is recorded {times} times"
