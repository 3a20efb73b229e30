"""Calls of models: request, answer, tokens, finish reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from langchain_core.messages import AIMessage

from lucidic.adapterkit import (
    Message,
    ToolSchema,
    Usage,
    clean,
    llm_attributes,
    message_attributes,
    prompt_template_attributes,
    usage_attributes,
)
from lucidic_adapters.langchain._io import as_json
from lucidic_adapters.langchain._messages import message_of


FIRST_TOKEN_EVENT: Final = "First Token Stream Event"  # noqa: S105  # no password
"""OpenInference's name for it."""
EVENT_DATA: Final = "lucidic.event.data"
"""What a custom event carries: content, and masked as such."""

_NOT_PARAMETERS: Final = frozenset(
    (
        "tools",
        "functions",
        "_type",
        "api_key",
        "extra_headers",
        "default_headers",
        "headers",
        "messages",
        "input",
    )
)
_TEMPLATES: Final[dict[int, tuple[Mapping[str, Any], str, Mapping[str, Any]]]] = {}
"""Templates by the identity of the serialized prompt, which is kept beside them."""
_MOST_TEMPLATES: Final = 512
_USAGE: Final = ("token_usage", "usage", "usage_metadata")
_FINISH: Final = ("finish_reason", "stop_reason", "done_reason", "finishReason", "status")
_MODEL: Final = ("model_name", "model", "model_id")


class Request:
    """What a model was asked, in the kit's words."""

    __slots__ = ("model", "parameters", "provider", "tools")

    def __init__(
        self,
        invocation_params: Mapping[str, Any] | None,
        options: Mapping[str, Any] | None,
        metadata: Mapping[str, Any],
    ) -> None:
        given = invocation_params or {}
        self.provider = _text(metadata.get("ls_provider"))
        self.model = _text(metadata.get("ls_model_name")) or _first(given, _MODEL)
        self.parameters = {
            key: value for key, value in given.items() if value is not None and key not in _NOT_PARAMETERS
        }
        schema = (options or {}).get("ls_structured_output_format")
        if schema and isinstance(self.parameters.get("response_format"), type | None):
            self.parameters["response_format"] = schema  # in words: LangChain's own may be the user's class
        self.tools = [*_tools(given.get("tools")), *_tools(given.get("functions"))]


def chat_request(request: Request, messages: Iterable[Sequence[object]]) -> dict[str, Any]:
    """Describe the request to a chat model."""
    found: dict[str, Any] = llm_attributes(
        provider=request.provider,
        request_model=request.model,
        input_messages=[message_of(message) for batch in messages for message in batch],
        tools=request.tools,
        invocation_parameters=request.parameters,
    )
    return found


def text_request(request: Request, prompts: Sequence[str]) -> dict[str, Any]:
    """Describe the request to a text model."""
    found: dict[str, Any] = llm_attributes(
        provider=request.provider,
        request_model=request.model,
        prompts=prompts,
        invocation_parameters=request.parameters,
    )
    return found


def prompt_facts(
    serialized: Mapping[str, Any] | None,
    inputs: object,
    metadata: Mapping[str, Any],
    shown: Mapping[str, Any],
) -> dict[str, Any]:
    """Describe the template of a prompt, the variables that filled it, and its version in LangChain's hub.

    ``shown`` is what the span says of the input: mostly the same JSON text.
    """
    template, partial = _template_of(serialized or {})
    if not template:
        return {}
    found: dict[str, Any] = prompt_template_attributes(
        template, version=_text(metadata.get("lc_hub_commit_hash"))
    )
    if isinstance(inputs, Mapping):
        is_json = not partial and shown.get("input.mime_type") == "application/json"
        text = shown["input.value"] if is_json else as_json({**partial, **inputs})
        found["llm.prompt_template.variables"] = text
    return found


def _template_of(serialized: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return a prompt's templates, joined, and its partial variables; a prompt is serialized once."""
    known = _TEMPLATES.get(id(serialized))
    if known is not None and known[0] is serialized:
        return known[1:]
    partial: dict[str, Any] = {}
    found = "\n".join(_templates(serialized.get("kwargs"), partial)), partial
    if len(_TEMPLATES) >= _MOST_TEMPLATES:
        _TEMPLATES.clear()
    _TEMPLATES[id(serialized)] = (serialized, *found)
    return found


def _templates(given: object, partial: dict[str, Any]) -> Iterator[str]:
    """Find the templates of all messages of a serialized prompt, in order, and collect partial variables."""
    if not isinstance(given, Mapping):
        return
    filled = given.get("partial_variables")
    if isinstance(filled, Mapping):  # a function that fills in a variable is serialized as a mapping
        partial.update((key, value) for key, value in filled.items() if not isinstance(value, Mapping))
    template = given.get("template")
    if isinstance(template, str):
        yield template
    for name in ("messages", "prompt"):
        inner = given.get(name)
        for item in inner if isinstance(inner, list) else [inner]:
            yield from _templates(item.get("kwargs") if isinstance(item, Mapping) else None, partial)


def answer(
    request: Request | None, generations: Sequence[Any], messages: Sequence[Any], output: Mapping[str, Any]
) -> dict[str, Any]:
    """Describe what a model answered: generations, and of a chat model's the messages; ``output`` is beside them."""
    model = _answered_model(messages, output)
    # What was asked stands on the span already: said again only where another model answered.
    asked = request if request is not None and model not in (None, request.model) else None
    infos = [generation.generation_info or {} for generation in generations]
    usage, cached = usage_of(messages, output, infos)
    found: dict[str, Any] = message_attributes("llm.output_messages", _answers(messages))
    if asked is not None or request is None or not messages:
        found |= llm_attributes(
            provider=None if asked is None else asked.provider,
            request_model=None if asked is None else asked.model,
            response_model=model if asked is not None or request is None else None,
            choices=() if messages else [generation.text for generation in generations],
        )
    reason = _finish_reason(messages, infos)
    if reason:
        found["llm.finish_reason"] = clean(reason)
    if cached:
        found["llm.cache_hit"] = True
    elif usage is not None:
        found.update(usage_attributes(usage))
    return found


def _answers(messages: Iterable[Any]) -> list[Message]:
    found = [message_of(message) for message in messages]
    return [message for message in found if message.content or message.tool_calls]


def _answered_model(messages: Iterable[Any], output: Mapping[str, Any]) -> str | None:
    for source in (*(message.response_metadata for message in messages), output):
        found = _first(source, _MODEL) if source else None
        if found:
            return found
    return None


def _finish_reason(messages: Iterable[Any], infos: Iterable[Mapping[str, Any]]) -> str | None:
    for source in (*(message.response_metadata for message in messages), *infos):
        found = _first(source, _FINISH) if source else None
        if found:
            incomplete = source.get("incomplete_details")
            reason = incomplete.get("reason") if isinstance(incomplete, Mapping) else None
            return _text(reason) or found
    return None


def usage_of(
    messages: Iterable[Any], output: Mapping[str, Any], infos: Iterable[Mapping[str, Any]]
) -> tuple[Usage | None, bool]:
    """Return the tokens of a call, and whether LangChain's cache answered it.

    On a cache hit LangChain replays the tokens of the first call, with a cost of 0 (langchain-core 1.x
    ``BaseChatModel._convert_cached_generations``): nobody spent them.
    """
    for message in messages:
        found = message.usage_metadata if isinstance(message, AIMessage) else None
        if found:
            if found.get("total_cost") == 0:
                return None, True
            return _standard_usage(found), False
    for source in (output, *(message.response_metadata for message in messages), *infos):
        for name in _USAGE if source else ():
            candidate = source.get(name)
            if candidate and isinstance(candidate, Mapping):
                return _raw_usage(candidate), False
    return None, False


def _standard_usage(found: Mapping[str, Any]) -> Usage:
    read = found.get("input_token_details") or {}
    wrote = found.get("output_token_details") or {}
    prompt, completion, total = (
        found.get(name) for name in ("input_tokens", "output_tokens", "total_tokens")
    )
    cache_read, cache_write = _detail(read, "cache_read"), _cache_write(read)
    cached = (cache_read or 0) + (cache_write or 0)
    if cached and prompt is not None and (prompt < cached or total == prompt + (completion or 0) + cached):
        prompt += cached  # Bedrock's models count cached tokens apart (langchain-aws 1.x)
    return Usage(
        prompt=prompt,
        completion=completion,
        total=total,
        cache_read=cache_read,
        cache_write=cache_write,
        reasoning=_detail(wrote, "reasoning"),
        audio_in=_detail(read, "audio"),
        audio_out=_detail(wrote, "audio"),
    )


def _detail(details: Mapping[str, Any], name: str) -> int | None:
    """Read a detail; a service tier prefixes the names (``flex_reasoning``, langchain-openai 1.x)."""
    if details.get(name):
        return _count(details[name])
    suffix = f"_{name}"
    return next((_count(value) for key, value in details.items() if key.endswith(suffix) and value), None)


def _cache_write(details: Mapping[str, Any]) -> int | None:
    written = _detail(details, "cache_creation")
    if written:
        return written
    # Anthropic's caches by lifetime: langchain-anthropic leaves the sum out where these are given.
    parts = [_count(details.get(f"ephemeral_{life}_input_tokens")) or 0 for life in ("5m", "1h")]
    return sum(parts) or None


def _raw_usage(found: Mapping[str, Any]) -> Usage:
    """Read usage as providers report it: OpenAI's, Anthropic's, Bedrock's, Google's names."""
    read = _details(found, "prompt_tokens_details", "input_tokens_details")
    wrote = _details(found, "completion_tokens_details", "output_tokens_details")
    cache_read = _number(
        found, "cache_read_input_tokens", "cacheReadInputTokens", "cache_read_input_token_count"
    )
    cache_write = _number(
        found, "cache_creation_input_tokens", "cacheWriteInputTokens", "cache_write_input_token_count"
    )
    prompt = _number(found, "prompt_tokens")
    if prompt is None:
        prompt = _number(found, "input_tokens", "inputTokens", "prompt_token_count", "inputTokenCount")
        if prompt is not None:  # Anthropic and Bedrock count cached tokens apart
            prompt += (cache_read or 0) + (cache_write or 0)
    completion = _number(found, "completion_tokens", "output_tokens", "outputTokens", "outputTokenCount")
    thoughts = _number(found, "thoughts_token_count")
    if completion is None:  # Google counts thoughts apart
        completion = _number(found, "candidates_token_count")
        completion = completion if completion is None else completion + (thoughts or 0)
    return Usage(
        prompt=prompt,
        completion=completion,
        total=_number(found, "total_tokens", "totalTokens", "total_token_count"),
        cache_read=cache_read
        or _count(read.get("cached_tokens"))
        or _number(found, "cached_content_token_count"),
        cache_write=cache_write,
        reasoning=_count(wrote.get("reasoning_tokens")) or thoughts,
        audio_in=_count(read.get("audio_tokens")),
        audio_out=_count(wrote.get("audio_tokens")),
    )


def _details(found: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """Return the details of a count; Google's are lists, one entry for each modality."""
    given = next((found[name] for name in names if found.get(name)), None)
    return given if isinstance(given, Mapping) else {}


def _number(found: Mapping[str, Any], *names: str) -> int | None:
    return next((count for name in names if (count := _count(found.get(name))) is not None), None)


def _count(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _tools(given: object) -> list[ToolSchema]:
    if not isinstance(given, Sequence) or isinstance(given, str):
        return []
    return [_tool(tool) for tool in given if isinstance(tool, Mapping)]


def _tool(tool: Mapping[str, Any]) -> ToolSchema:
    """Read a tool's schema in OpenAI's, Anthropic's or a provider's own form."""
    function = tool.get("function")
    inner: Mapping[str, Any] = function if isinstance(function, Mapping) else tool
    schema = inner.get("parameters") or inner.get("input_schema")
    name = inner.get("name") or tool.get("type") or ""
    kind = tool.get("type")
    if schema is None and kind not in (None, "function"):  # a tool that the provider runs
        return ToolSchema(str(kind), _text(inner.get("description")), dict(tool))
    return ToolSchema(
        str(name), _text(inner.get("description")), schema if isinstance(schema, Mapping) else None
    )


def _first(found: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    for key in keys:
        value = found.get(key)
        if value and isinstance(value, str):
            return value
    return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
