"""What PydanticAI's spans say, in OpenInference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from openinference.semconv.trace import OpenInferenceMimeTypeValues, SpanAttributes
from pydantic_ai.messages import ModelResponse

from lucidic.adapterkit import (
    Message,
    Text,
    ToolSchema,
    Usage,
    agent_attributes,
    dumps,
    io_attributes,
    json_object,
    llm_attributes,
    tool_attributes,
)
from lucidic_adapters.pydantic_ai import _messages, _parameters
from lucidic_adapters.pydantic_ai._history import History, OfferedTools


if TYPE_CHECKING:
    from lucidic_adapters.pydantic_ai._runs import Run
    from lucidic_adapters.pydantic_ai._span import FrameworkSpan

_JSON: Final = OpenInferenceMimeTypeValues.JSON.value
_KEPT_OF_CALL: Final = (
    "gen_ai.response.id",
    "gen_ai.client.operation.time_to_first_chunk",
    "server.address",
)
_KEPT_OF_TOOL: Final = (
    "pydantic_ai.tool.failure_stage",
    "pydantic_ai.tool.retry.cause",
    "pydantic_ai.tool.retry.attempt",
    "pydantic_ai.tool.retry.max_retries",
    "pydantic_ai.output.retry.cause",
    "pydantic_ai.output.retry.attempt",
    "pydantic_ai.output.retry.max_retries",
    "pydantic_ai.tool.deferral.name",
    "pydantic_ai.tool.deferral.metadata",
)
"""The SDK's own attributes that say what OpenInference has no word for."""


def started(run: Run) -> dict[str, Any]:
    """Describe a run by what is known at its start: all that is left of one that nobody ends."""
    return io_attributes(_words_of(run))


def _words_of(run: Run) -> str | None:
    words = _messages.words_of_user(run.prompt)
    return _messages.last_words_of_user(run.sent or run.history) if words is None else words


def agent(span: FrameworkSpan) -> dict[str, Any]:
    """Describe an agent's run: the user's words, the answer, the run's metadata."""
    native, run = span.native, span.run
    words = answer = None
    if run is not None:
        words, answer = _words_of(run), _output_of(run)
    if answer is None:
        answer = _unpacked(native.get("final_result"))
    if answer is None and run is not None:
        answer = _messages.words_of_model(run.response)
    found = agent_attributes(native.get("agent_name")) | io_attributes(words, answer)
    metadata = native.get("metadata")
    if metadata is not None:
        found[SpanAttributes.METADATA] = json_object(_with_outer(span, metadata))
    return found


def _output_of(run: Any) -> Any:
    result = run.result if run.result is not None else getattr(run.agent_run, "result", None)
    return None if result is None else result.output


def _unpacked(value: Any) -> Any:
    """Return JSON text as what it says, so that it is written as JSON."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _with_outer(span: FrameworkSpan, metadata: Any) -> Any:
    """Add the metadata of ``using_attributes``, which stands on the span already."""
    stamped = getattr(span.live.span, "attributes", None) or {}
    own, outer = _unpacked(metadata), _unpacked(stamped.get(SpanAttributes.METADATA))
    return {**outer, **own} if isinstance(own, dict) and isinstance(outer, dict) else own


def model_call(span: FrameworkSpan) -> dict[str, Any]:
    """Describe a request to a model and its answer; a failed one has its input all the same."""
    native, request, response = span.native, span.request, span.response
    parameters = request.parameters if request is not None else None
    inputs, last = _input_of(span)
    outputs = [] if response is None else _messages.response_messages(response, binary=span.include_binary)
    tools = _parameters.tools(parameters, native.get("gen_ai.system")) or _tools_of(native)
    offered = span.run.offered if span.run is not None else OfferedTools()
    found = llm_attributes(
        provider=native.get("gen_ai.provider.name") or native.get("gen_ai.system"),
        request_model=native.get("gen_ai.request.model"),
        response_model=None if response is None else response.model_name,
        output_messages=outputs,
        invocation_parameters=None if request is None else _parameters.invocation(request),
        usage=None if response is None else usage_of(response),
        finish_reason=None if response is None else _finish_reason(response),
    )
    found |= io_attributes(_asked(last), _answered(response))
    # The long history comes first: at OpenTelemetry's limit the oldest attributes go.
    return {
        **inputs,
        **offered.attributes(tools),
        **found,
        **_cost(native),
        **_kept(native, _KEPT_OF_CALL),
    }


def _input_of(span: FrameworkSpan) -> tuple[Mapping[str, Any], Message | None]:
    """Return what the model was sent as attributes, and the last message of it."""
    request = span.request
    if request is None:
        return {}, None
    history = span.run.input if span.run is not None else History()
    instructions = _messages.instructions_of(request.messages, request.parameters)
    return history.attributes(request.messages, instructions, binary=span.include_binary)


def attempt(span: FrameworkSpan) -> dict[str, Any]:
    """Describe a try of a fallback chain that failed."""
    native = span.native
    inputs, last = _input_of(span)
    found = llm_attributes(
        provider=native.get("gen_ai.provider.name") or native.get("gen_ai.system"),
        request_model=native.get("gen_ai.request.model"),
        response_model=native.get("gen_ai.response.model"),
    )
    found |= io_attributes(_asked(last))
    return {**inputs, **found, **_kept(native, ("pydantic_ai.model_request.attempt",))}


def decision(span: FrameworkSpan) -> dict[str, Any]:
    """Describe what a decision model was asked about a state, and what it answered."""
    native = span.native
    asked, answered = native.get("gen_ai.request.model"), native.get("gen_ai.response.model")
    counts = {
        SpanAttributes.DECISION_TOKEN_COUNT_INPUT: native.get("pydantic_ai.decision.usage.input_tokens"),
        SpanAttributes.DECISION_TOKEN_COUNT_OUTPUT: native.get("pydantic_ai.decision.usage.output_tokens"),
    }
    found = io_attributes(
        _unpacked(_first(native, "pydantic_ai.decision.state", "pydantic_ai.decision.questions")),
        _unpacked(native.get("pydantic_ai.decision.answers")),
    )
    kept = {key: value for key, value in native.items() if key.startswith("pydantic_ai.decision.")}
    return {
        **kept,
        **found,
        **{key: count for key, count in counts.items() if count},
        SpanAttributes.DECISION_MODEL_NAME: answered or asked,
        SpanAttributes.DECISION_REQUEST_MODEL_NAME: asked,
        SpanAttributes.DECISION_RESPONSE_MODEL_NAME: answered,
        SpanAttributes.DECISION_PROVIDER: native.get("gen_ai.provider.name"),
        **_kept(native, _KEPT_OF_CALL),
    }


def image_generation(span: FrameworkSpan) -> dict[str, Any]:
    """Describe a request for images; the SDK says how many came and of which type, not what they show."""
    native = span.native
    prompt, count = native.get("prompt"), native.get("image_count")
    usage = Usage(
        prompt=native.get("gen_ai.usage.input_tokens"), completion=native.get("gen_ai.usage.output_tokens")
    )
    found = llm_attributes(
        provider=native.get("gen_ai.provider.name"),
        request_model=native.get("gen_ai.request.model"),
        response_model=native.get("gen_ai.response.model"),
        input_messages=[] if prompt is None else [Message("user", str(prompt))],
        invocation_parameters=_unpacked(native.get("image_generation_settings")),
        usage=usage if usage.prompt or usage.completion else None,
    )
    found |= io_attributes(prompt, None if count is None else f"{count} image{'' if count == 1 else 's'}")
    images = {key: value for key, value in native.items() if key.startswith("image.")}
    return {**found, **images, **_cost(native), **_kept(native, _KEPT_OF_CALL)}


def _asked(last: Message | None) -> str | None:
    """Return what is new to the model: the last message, as text."""
    content = last.content if last is not None else None
    if content is None or isinstance(content, str):
        return content
    texts = [part.text for part in content if isinstance(part, Text)]
    return "\n".join(texts) if texts else dumps(content)


def _answered(response: ModelResponse | None) -> Any:
    if response is None:
        return None
    words = _messages.words_of_model(response)
    if words:
        return words
    calls = [
        {"name": part.tool_name, "arguments": part.args}
        for part in response.parts
        if part.part_kind in ("tool-call", "builtin-tool-call")
    ]
    return {"tool_calls": calls} if calls else ""


def usage_of(response: ModelResponse) -> Usage | None:
    """Return the tokens of one answer; PydanticAI's totals count what is cached, reasoned or heard."""
    usage = response.usage
    details = usage.details or {}
    if not usage.input_tokens and not usage.output_tokens:
        return None  # nothing was counted, or the SDK could not read it and has the details alone
    return Usage(
        prompt=usage.input_tokens,
        completion=usage.output_tokens,
        cache_read=usage.cache_read_tokens,
        cache_write=usage.cache_write_tokens,
        reasoning=getattr(usage, "output_reasoning_tokens", 0) or details.get("reasoning_tokens"),
        audio_in=usage.input_audio_tokens,
        audio_out=getattr(usage, "output_audio_tokens", 0) or details.get("audio_tokens"),
    )


def _finish_reason(response: ModelResponse) -> str | None:
    if response.finish_reason is not None:
        return response.finish_reason
    raw = (response.provider_details or {}).get("finish_reason")
    return raw if isinstance(raw, str) else None


def _cost(native: Mapping[str, Any]) -> dict[str, Any]:
    cost = native.get("operation.cost")
    return {SpanAttributes.LLM_COST_TOTAL: cost} if isinstance(cost, float | int) else {}


def _kept(native: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: native[key] for key in keys if key in native}


def _tools_of(native: Mapping[str, Any]) -> list[ToolSchema]:
    """Return the tools as the SDK wrote them, where it kept the request's parameters to itself."""
    listed = _unpacked(native.get("gen_ai.tool.definitions"))
    return [
        ToolSchema(tool["name"], tool.get("description"), tool.get("parameters"))
        for tool in listed or ()
        if isinstance(tool, dict) and "name" in tool
    ]


def tool(span: FrameworkSpan) -> dict[str, Any]:
    """Describe a tool's run, an output function's too."""
    native = span.native
    name = str(native.get("gen_ai.tool.name"))
    definition = span.run.tools.get(name) if span.run is not None else None
    arguments = _arguments_of(span)
    result = _first(native, "gen_ai.tool.call.result", "tool_response")
    found = tool_attributes(
        name,
        description=getattr(definition, "description", None),
        arguments=_unpacked(arguments),
        id=native.get("gen_ai.tool.call.id"),
        json_schema=getattr(definition, "parameters_json_schema", None),
    )
    found |= io_attributes(_unpacked(arguments), _unpacked(result))
    if SpanAttributes.INPUT_VALUE in found:
        found[SpanAttributes.INPUT_MIME_TYPE] = _JSON
    kept = _kept(native, _KEPT_OF_TOOL)
    if (why := _retry_cause(span.cause)) is not None:
        kept.setdefault("pydantic_ai.tool.retry.cause", why)
    return found | kept


def _arguments_of(span: FrameworkSpan) -> Any:
    """Return the arguments as the model wrote them; an output function's span has them validated already."""
    native, run = span.native, span.run
    calls = run.response.parts if run is not None and run.response is not None else ()
    for part in calls:
        if part.part_kind == "tool-call" and part.tool_call_id == native.get("gen_ai.tool.call.id"):
            return part.args_as_json_str()
    return _first(native, "gen_ai.tool.call.arguments", "tool_arguments")


def _retry_cause(error: BaseException | None) -> str | None:
    """Return why a call has to be made again, for releases that do not say it."""
    content = getattr(getattr(error, "tool_retry", None), "content", None)
    if isinstance(content, list):
        return "validation_error"
    if isinstance(content, str):
        return None if content.startswith("Unknown tool name") else "model_retry"
    return {"ModelRetry": "model_retry", "ValidationError": "validation_error"}.get(type(error).__name__)


def _first(native: Mapping[str, Any], *keys: str) -> Any:
    return next((native[key] for key in keys if key in native), None)


def other(span: FrameworkSpan) -> dict[str, Any]:
    """Keep what the SDK says of a span that OpenInference has no words for."""
    kept = {key: value for key, value in span.native.items() if not key.startswith("logfire.")}
    kept.pop("gen_ai.conversation.id", None)
    prompt = kept.pop("prompt", None)
    return {**kept, **io_attributes(prompt)}
