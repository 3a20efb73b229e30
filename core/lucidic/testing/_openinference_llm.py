"""Rules about model calls and their messages (OpenInference ``spec/llm_spans.md``, ``spec/tool_calling.md``)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Final

from openinference.semconv.trace import SpanAttributes

from lucidic._spans._vendors import PROVIDERS, SYSTEMS
from lucidic.testing._openinference_rules import MESSAGES, NO_JSON, ROLES, among, parsed, short, span_rule
from lucidic.testing._openinference_spans import REDACTED, Seen


_LLM: Final = ("LLM",)
_PROMPT: Final = SpanAttributes.LLM_TOKEN_COUNT_PROMPT
_COMPLETION: Final = SpanAttributes.LLM_TOKEN_COUNT_COMPLETION
_TOTAL: Final = SpanAttributes.LLM_TOKEN_COUNT_TOTAL
_CACHE_READ: Final = SpanAttributes.LLM_TOKEN_COUNT_PROMPT_DETAILS_CACHE_READ
_CACHE_WRITE: Final = SpanAttributes.LLM_TOKEN_COUNT_PROMPT_DETAILS_CACHE_WRITE
_CACHE_INPUT: Final = SpanAttributes.LLM_TOKEN_COUNT_PROMPT_DETAILS_CACHE_INPUT
_COUNTING_KINDS: Final = ("LLM", "EMBEDDING", "RERANKER", "DECISION")
_CONTENT_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "text": ("message_content.text",),
    "image": ("message_content.image.image.url",),
    "audio": ("message_content.audio.audio.url", "message_content.audio.audio.transcript"),
    "video": ("message_content.video.video.url",),
    "document": tuple(f"message_content.document.document.{f}" for f in ("url", "content", "id", "name")),
    "reasoning": tuple(f"message_content.{f}" for f in ("text", "data", "encrypted_content", "signature")),
    "tool_use": ("tool_call.function.name",),
}
"""Of each type of content, the keys of which one must be there."""
_MAX_IMAGE: Final = 32_000
"""Characters; the default of ``OPENINFERENCE_BASE64_IMAGE_MAX_LENGTH``."""


@span_rule("L1", "error", "LLM spans have llm.system", kinds=_LLM)
def _system(span: Seen) -> Iterator[str]:
    if not span.attributes.get(SpanAttributes.LLM_SYSTEM):
        yield "llm.system is missing"


@span_rule("L2", "error", "LLM spans have llm.model_name", kinds=_LLM)
def _model(span: Seen) -> Iterator[str]:
    if not span.attributes.get(SpanAttributes.LLM_MODEL_NAME):
        yield "llm.model_name is missing"


@span_rule("L3", "warning", "llm.system is a well-known value in lower case", kinds=_LLM)
def _known_system(span: Seen) -> Iterator[str]:
    value = span.attributes.get(SpanAttributes.LLM_SYSTEM)
    if value and not among(value, SYSTEMS):
        yield f"llm.system is {short(value)}; well-known are {', '.join(sorted(SYSTEMS))}"


@span_rule("L4", "warning", "llm.provider is a well-known value in lower case", kinds=_LLM)
def _known_provider(span: Seen) -> Iterator[str]:
    value = span.attributes.get(SpanAttributes.LLM_PROVIDER)
    if value and not among(value, PROVIDERS):
        yield f"llm.provider is {short(value)}; well-known are {', '.join(sorted(PROVIDERS))}"


@span_rule("L5", "warning", "LLM spans have input messages or prompts", kinds=_LLM)
def _input(span: Seen) -> Iterator[str]:
    if span.attributes.get(SpanAttributes.INPUT_VALUE) == REDACTED:
        return
    if not span.items(SpanAttributes.LLM_INPUT_MESSAGES) and not span.items(SpanAttributes.LLM_PROMPTS):
        yield "neither llm.input_messages nor llm.prompts"


@span_rule("L6", "warning", "successful LLM spans have output messages or choices", kinds=_LLM)
def _output(span: Seen) -> Iterator[str]:
    if not span.succeeded or span.attributes.get(SpanAttributes.OUTPUT_VALUE) == REDACTED:
        return
    if not span.items(SpanAttributes.LLM_OUTPUT_MESSAGES) and not span.items(SpanAttributes.LLM_CHOICES):
        yield "neither llm.output_messages nor llm.choices"


@span_rule("L7", "warning", "successful LLM spans have prompt and completion tokens", kinds=_LLM)
def _tokens(span: Seen) -> Iterator[str]:
    for key in (_PROMPT, _COMPLETION):
        if span.succeeded and key not in span.attributes:
            yield f"{key} is missing"


@span_rule("L8", "error", "total tokens are prompt plus completion tokens")
def _total(span: Seen) -> Iterator[str]:
    prompt, completion, total = (_count(span, key) for key in (_PROMPT, _COMPLETION, _TOTAL))
    if None not in (prompt, completion, total) and total != (prompt or 0) + (completion or 0):
        yield f"{_TOTAL} is {total}, prompt and completion make {(prompt or 0) + (completion or 0)}"


@span_rule("L9", "error", "token details are within their total")
def _details(span: Seen) -> Iterator[str]:
    for total_key in (_PROMPT, _COMPLETION):
        total = _count(span, total_key)
        for key in span.attributes:
            if (
                total is not None
                and key.startswith(f"{total_key}_details.")
                and (_count(span, key) or 0) > total
            ):
                yield f"{key} is {_count(span, key)}, more than {total_key}, which is {total}"
    cached = (_count(span, _CACHE_READ) or 0, _count(span, _CACHE_WRITE) or 0)
    prompt = _count(span, _PROMPT)
    if prompt is not None and max(cached) <= prompt < sum(cached):
        yield f"tokens read from and written to the cache are {sum(cached)}, more than {_PROMPT}: {prompt}"
    if cached[0] and _count(span, _CACHE_INPUT):
        yield "cache_read and cache_input are both set: Phoenix charges both"


@span_rule("L10", "warning", "token counts are on spans of kinds that count tokens")
def _no_roll_ups(span: Seen) -> Iterator[str]:
    if span.kind not in _COUNTING_KINDS and (
        keys := [k for k in span.attributes if k.startswith("llm.token_count.")]
    ):
        yield f"{keys[0]} on a span of kind {short(span.kind)}"


@span_rule("L11", "warning", "LLM spans have both input.value and output.value, or neither", kinds=_LLM)
def _both_values(span: Seen) -> Iterator[str]:
    has_input = SpanAttributes.INPUT_VALUE in span.attributes
    has_output = SpanAttributes.OUTPUT_VALUE in span.attributes
    # A call that failed has no output; only where there is one does Langfuse lose it.
    if has_input != has_output and (has_output or span.succeeded):
        given, missing = ("input", "output") if has_input else ("output", "input")
        yield f"{given}.value without {missing}.value: Langfuse then drops the messages"


@span_rule("L12", "warning", "tool schemas are in OpenAI's style: type, function.name")
def _tool_schemas(span: Seen) -> Iterator[str]:
    for index, tool in span.items(SpanAttributes.LLM_TOOLS).items():
        schema = parsed(tool.get("tool.json_schema"))
        if not isinstance(schema, dict):
            continue
        function = schema.get("function")
        if schema.get("type") != "function" or not isinstance(function, dict) or not function.get("name"):
            yield f"llm.tools.{index}.tool.json_schema is not {{type: function, function: {{name: …}}}}"


@span_rule("E1", "error", "messages have one of the known roles")
def _roles(span: Seen) -> Iterator[str]:
    for place, message in _messages(span):
        role = message.get("message.role")
        if role is None:
            yield f"{place}.message.role is missing"
        elif not among(role, ROLES):
            yield f"{place}.message.role is {short(role)}"


@span_rule("E2", "error", "message.content is a string, and not beside text in message.contents")
def _content(span: Seen) -> Iterator[str]:
    for place, message in _messages(span):
        content = message.get("message.content")
        if content is not None and not isinstance(content, str):
            yield f"{place}.message.content is {type(content).__name__}, not a string"
        elif content and any(
            part.get("message_content.type") == "text" for _, part in _parts(place, message)
        ):
            yield f"{place} has text in message.content and in message.contents"


@span_rule("E3", "warning", "messages are not empty")
def _not_empty(span: Seen) -> Iterator[str]:
    for place, message in _messages(span):
        # A tool may well answer with nothing.
        says_something = [
            key
            for key, value in message.items()
            if key not in ("message.role", "message.name") and value != ""
        ]
        if not says_something and message.get("message.role") not in ("tool", "function"):
            yield f"{place} has neither content nor tool calls"


@span_rule("E4", "error", "contents have a known type and what that type needs")
def _contents(span: Seen) -> Iterator[str]:
    for place, message in _messages(span):
        for where, part in _parts(place, message):
            kind = part.get("message_content.type")
            needed = _CONTENT_TYPES.get(kind) if isinstance(kind, str) else None
            if kind is None:
                yield f"{where}.message_content.type is missing"
            elif needed is None:
                yield f"{where}.message_content.type is {short(kind)}"
            elif not any(key in part for key in needed):
                yield f"{where} is of type {kind} and lacks {' or '.join(needed)}"


@span_rule("E5", "error", "tool calls have a name, and arguments that are JSON")
def _calls_are_whole(span: Seen) -> Iterator[str]:
    for where, call in itertools.chain.from_iterable(
        _calls(place, message) for place, message in _messages(span)
    ):
        # Content of type tool_use without a name is E4's.
        if not call.get("tool_call.function.name") and "message_content.type" not in call:
            yield f"{where}.tool_call.function.name is missing"
        arguments = call.get("tool_call.function.arguments")
        if arguments is not None and arguments != REDACTED and parsed(arguments) is NO_JSON:
            yield f"{where}.tool_call.function.arguments is no JSON: {short(arguments)}"


@span_rule("E6", "warning", "tool calls have ids")
def _calls_have_ids(span: Seen) -> Iterator[str]:
    for place, message in _messages(span):
        yield from (
            f"{where}.tool_call.id is missing"
            for where, call in _calls(place, message)
            if not call.get("tool_call.id")
        )


@span_rule("E7", "warning", "tool messages answer a call that was made before")
def _answers(span: Seen) -> Iterator[str]:
    made: list[Any] = []
    for place, message in _messages(span):
        made += [call.get("tool_call.id") for _, call in _calls(place, message)]
        if message.get("message.role") != "tool":
            continue
        answered = message.get("message.tool_call_id")
        if not answered:
            yield f"{place}.message.tool_call_id is missing"
        elif answered not in made:
            yield f"{place}.message.tool_call_id is {short(answered)}, which no earlier message called"


@span_rule("E8", "warning", "base64 images are within the default limit")
def _images(span: Seen) -> Iterator[str]:
    for key, value in span.attributes.items():
        is_data = key.endswith("image.url") and isinstance(value, str) and value.startswith("data:")
        if is_data and len(value) > _MAX_IMAGE:
            yield f"{key} is a data URI of {len(value)} characters; above {_MAX_IMAGE} it is masked"


def _messages(span: Seen) -> Iterator[tuple[str, dict[str, Any]]]:
    for prefix in MESSAGES:
        for index, message in span.items(prefix).items():
            yield f"{prefix}.{index}", message


def _parts(place: str, message: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from _inner(place, message, "message.contents")


def _calls(place: str, message: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from _inner(place, message, "message.tool_calls")
    for where, part in _parts(place, message):
        if part.get("message_content.type") == "tool_use":
            yield where, part


def _inner(place: str, message: Mapping[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    found: dict[str, dict[str, Any]] = {}
    for key, value in message.items():
        if key.startswith(name + "."):
            index, _, suffix = key[len(name) + 1 :].partition(".")
            found.setdefault(index, {})[suffix] = value
    for index, item in found.items():
        yield f"{place}.{name}.{index}", item


def _count(span: Seen, key: str) -> int | None:
    value = span.attributes.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
