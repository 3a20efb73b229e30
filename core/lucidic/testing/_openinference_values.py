"""Rules about kinds, types, JSON, mime types and flattening (OpenInference ``spec/semantic_conventions.md``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from openinference.semconv.trace import (
    DocumentAttributes,
    EmbeddingAttributes,
    OpenInferenceMimeTypeValues,
    SpanAttributes,
)

from lucidic.testing._openinference_rules import (
    KINDS,
    LISTS,
    MESSAGES,
    NO_JSON,
    among,
    parsed,
    short,
    span_rule,
)
from lucidic.testing._openinference_spans import REDACTED, Seen


_STRINGS: Final = frozenset(
    {
        SpanAttributes.INPUT_VALUE,
        SpanAttributes.OUTPUT_VALUE,
        SpanAttributes.USER_ID,
        SpanAttributes.METADATA,
        SpanAttributes.LLM_SYSTEM,
        SpanAttributes.LLM_PROVIDER,
        SpanAttributes.LLM_MODEL_NAME,
        SpanAttributes.LLM_REQUEST_MODEL_NAME,
        SpanAttributes.LLM_RESPONSE_MODEL_NAME,
        SpanAttributes.LLM_FINISH_REASON,
        SpanAttributes.LLM_FUNCTION_CALL,
        SpanAttributes.LLM_INVOCATION_PARAMETERS,
        SpanAttributes.LLM_PROMPT_TEMPLATE,
        SpanAttributes.LLM_PROMPT_TEMPLATE_VARIABLES,
        SpanAttributes.LLM_PROMPT_TEMPLATE_VERSION,
        SpanAttributes.EMBEDDING_MODEL_NAME,
        SpanAttributes.EMBEDDING_INVOCATION_PARAMETERS,
        SpanAttributes.TOOL_NAME,
        SpanAttributes.TOOL_DESCRIPTION,
        SpanAttributes.TOOL_PARAMETERS,
        SpanAttributes.TOOL_ID,
        SpanAttributes.AGENT_NAME,
        SpanAttributes.GRAPH_NODE_ID,
        SpanAttributes.GRAPH_NODE_NAME,
        SpanAttributes.GRAPH_NODE_PARENT_ID,
        SpanAttributes.PROMPT_VENDOR,
        SpanAttributes.PROMPT_ID,
        SpanAttributes.PROMPT_URL,
        "reranker.query",
        "reranker.model_name",
    }
)
_STRING_ENDS: Final = (
    ".message.name",
    ".message.tool_call_id",
    ".message.function_call_name",
    ".message_content.text",
    ".image.url",
    ".audio.url",
    ".audio.mime_type",
    ".audio.transcript",
    ".video.url",
    ".document.url",
    ".document.mime_type",
    ".document.name",
    ".document.content",
    ".document.metadata",
    ".tool_call.id",
    ".prompt.text",
    ".completion.text",
    ".embedding.text",
    ".tool.json_schema",
)
_JSON_OBJECTS: Final = frozenset(
    {
        SpanAttributes.METADATA,
        SpanAttributes.TOOL_PARAMETERS,
        SpanAttributes.LLM_INVOCATION_PARAMETERS,
        SpanAttributes.EMBEDDING_INVOCATION_PARAMETERS,
        SpanAttributes.LLM_PROMPT_TEMPLATE_VARIABLES,
    }
)
_JSON_OBJECT_ENDS: Final = (
    "." + DocumentAttributes.DOCUMENT_METADATA,
    ".tool.json_schema",
    ".annotation.metadata",
    ".evaluation.metadata",
)
_MIME_TYPES: Final = frozenset(mime.value for mime in OpenInferenceMimeTypeValues)
_JSON: Final = OpenInferenceMimeTypeValues.JSON.value
_IO: Final = (
    (SpanAttributes.INPUT_VALUE, SpanAttributes.INPUT_MIME_TYPE),
    (SpanAttributes.OUTPUT_VALUE, SpanAttributes.OUTPUT_MIME_TYPE),
)


@span_rule("K1", "error", "every span has openinference.span.kind")
def _kind(span: Seen) -> Iterator[str]:
    # The spans that OpenTelemetry's instrumentations make inside a trace (HTTP, SQL) are not OpenInference's.
    if span.kind is None and not span.scope.startswith("opentelemetry.instrumentation."):
        yield "openinference.span.kind is missing"


@span_rule("K2", "error", "the kind is one of the known upper-case values")
def _known_kind(span: Seen) -> Iterator[str]:
    if span.kind is not None and not among(span.kind, KINDS):
        yield f"openinference.span.kind is {short(span.kind)}; known are {', '.join(sorted(KINDS))}"


@span_rule("K3", "warning", "the kind is not UNKNOWN")
def _kind_says_something(span: Seen) -> Iterator[str]:
    if span.kind == "UNKNOWN":
        yield "openinference.span.kind is UNKNOWN"


@span_rule("T1", "error", "string attributes are strings")
def _strings(span: Seen) -> Iterator[str]:
    for key, value in span.attributes.items():
        if (key in _STRINGS or key.endswith(_STRING_ENDS)) and not isinstance(value, str):
            yield f"{key} is {type(value).__name__}, not a string"


@span_rule("T2", "error", "values are primitives or lists of one primitive type")
def _primitives(span: Seen) -> Iterator[str]:
    for key, value in span.attributes.items():
        if isinstance(value, (str, bool, int, float, bytes)):
            continue
        if not isinstance(value, (list, tuple)):
            yield f"{key} is {type(value).__name__}, which no attribute can be"
        elif len({type(item) for item in value}) > 1 or any(
            not isinstance(item, (str, bool, int, float, bytes)) for item in value
        ):
            yield f"{key} is not a list of one primitive type"


@span_rule("T3", "error", "token counts are integers, not negative")
def _token_counts(span: Seen) -> Iterator[str]:
    for key, value in span.attributes.items():
        if key.startswith(("llm.token_count.", "decision.token_count.")) and (
            isinstance(value, bool) or not isinstance(value, int) or value < 0
        ):
            yield f"{key} is {short(value)}, not a count"


@span_rule("T4", "error", "costs are numbers, not negative")
def _costs(span: Seen) -> Iterator[str]:
    for key, value in span.attributes.items():
        if key.startswith("llm.cost.") and (not is_number(value) or value < 0):
            yield f"{key} is {short(value)}, not a price in USD"


@span_rule("T5", "error", "scores are numbers")
def _scores(span: Seen) -> Iterator[str]:
    ends = (".document.score", ".annotation.score", ".evaluation.score")
    for key, value in span.attributes.items():
        if key.endswith(ends) and not is_number(value):
            yield f"{key} is {short(value)}, not a number"


@span_rule("T6", "error", "tag.tags is a list of strings")
def _tags(span: Seen) -> Iterator[str]:
    tags = span.attributes.get(SpanAttributes.TAG_TAGS, ())
    if not isinstance(tags, (list, tuple)) or not all(isinstance(tag, str) for tag in tags):
        yield f"tag.tags is {short(tags)}, not a list of strings"


@span_rule("T7", "error", "embedding.vector is a list of floats")
def _vectors(span: Seen) -> Iterator[str]:
    for key, value in span.attributes.items():
        if not key.endswith("." + EmbeddingAttributes.EMBEDDING_VECTOR) or value == REDACTED:
            continue
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, float) for item in value):
            yield f"{key} is {short(value)}, not a list of floats"


@span_rule("J1", "error", "JSON attributes parse, to an object where the specification says so")
def _json_strings(span: Seen) -> Iterator[str]:
    for key, value in span.attributes.items():
        is_object = key in _JSON_OBJECTS or key.endswith(_JSON_OBJECT_ENDS)
        is_json = key == SpanAttributes.LLM_FUNCTION_CALL or key.endswith("function_call_arguments_json")
        if not (is_object or is_json) or value == REDACTED or not isinstance(value, str):
            continue
        found = parsed(value)
        if found is NO_JSON:
            yield f"{key} is no JSON: {short(value)}"
        elif is_object and not isinstance(found, dict):
            yield f"{key} is no JSON object: {short(value)}"


@span_rule("M1", "error", "mime types are text/plain or application/json")
def _mime_types(span: Seen) -> Iterator[str]:
    for _, mime in _IO:
        if mime in span.attributes and not among(span.attributes[mime], _MIME_TYPES):
            yield f"{mime} is {short(span.attributes[mime])}"


@span_rule("M2", "error", "values of type application/json are JSON")
def _json_values(span: Seen) -> Iterator[str]:
    for key, mime in _IO:
        value = span.attributes.get(key)
        says_json = span.attributes.get(mime) == _JSON and isinstance(value, str) and value != REDACTED
        if says_json and parsed(value) is NO_JSON:
            yield f"{key} says application/json and is {short(value)}"


@span_rule("M3", "warning", "a mime type comes with its value")
def _mime_type_has_value(span: Seen) -> Iterator[str]:
    for key, mime in _IO:
        if mime in span.attributes and key not in span.attributes:
            yield f"{mime} without {key}"


@span_rule("M4", "info", "values that look like JSON say application/json")
def _json_says_so(span: Seen) -> Iterator[str]:
    for key, mime in _IO:
        if looks_like_json(span.attributes.get(key)) and span.attributes.get(mime) != _JSON:
            yield f"{key} looks like JSON and {mime} is not application/json"


@span_rule("F1", "error", "list indices are 0, 1, 2, … without gaps")
def _indices(span: Seen) -> Iterator[str]:
    for prefix in _lists_of(span):
        found = list(span.items(prefix))
        if found != list(range(len(found))):
            yield f"{prefix} has the indices {short(found)}"


@span_rule("F2", "error", "lists are flattened, neither JSON texts nor arrays")
def _flattened(span: Seen) -> Iterator[str]:
    lists = _lists_of(span)
    for key in span.attributes:
        prefix, _, index = key.rpartition(".")
        if key in lists:
            yield f"{key} is {type(span.attributes[key]).__name__}, not flattened"
        elif index.isdecimal() and prefix in lists:
            yield f"{key} does not say which field of its item it is"


def is_number(value: Any) -> bool:
    """Say whether a value is an integer or a float; a bool is neither."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def looks_like_json(value: object) -> bool:
    """Say whether a value is the text of a JSON object or list."""
    return isinstance(value, str) and value.lstrip()[:1] in ("{", "[") and parsed(value) is not NO_JSON


def _lists_of(span: Seen) -> Sequence[str]:
    inner = [
        f"{prefix}.{index}.{name}"
        for prefix in MESSAGES
        for index in span.items(prefix)
        for name in ("message.contents", "message.tool_calls")
    ]
    return [*LISTS, *inner]
