"""Calls of models: what was sent, what came back and what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from lucidic.adapterkit import (
    Message,
    ToolCall,
    io_attributes,
    llm_attributes,
    prompt_template_attributes,
    provider_name,
    system_name,
)
from lucidic_adapters.openai_agents._chat import chat_item_messages, chat_message, chat_messages
from lucidic_adapters.openai_agents._frames import MODEL_CALL, locals_of
from lucidic_adapters.openai_agents._history import Heard, History
from lucidic_adapters.openai_agents._responses import (
    fields_of,
    get,
    item_messages,
    items_of,
    last_words,
    output_messages,
    text_of,
    usage_of,
)
from lucidic_adapters.openai_agents._state import Work
from lucidic_adapters.openai_agents._tools import echoed_tools, offered_tools


Attributes = dict[str, Any]

_ECHOED: Final = (
    "temperature", "top_p", "max_output_tokens", "max_tool_calls", "tool_choice", "parallel_tool_calls", "reasoning",
    "text", "truncation", "service_tier", "top_logprobs", "background",
)  # fmt: skip
"""What a response repeats of its request."""
_NOT_SETTINGS: Final = (
    "extra_query",
    "extra_headers",
    "extra_body",
    "base_url",
    "retry",
    "preserve_raw_usage",
)
_UNSET: Final = frozenset((type(None),))
_ANSWERS: Final = ("response", "model_response", "result", "step")
_CALLS: Final = (
    "function_call", "custom_tool_call", "computer_call", "local_shell_call", "shell_call", "apply_patch_call",
)  # fmt: skip
"""Items that ask the caller to run a tool."""
_REASONS: Final = {"max_output_tokens": "length"}


def response(work: Work, data: Any) -> Attributes:
    """Describe a call of the Responses API (``ResponseSpanData``)."""
    frame = locals_of(MODEL_CALL, anyones=True)
    given_answer = getattr(data, "response", None)
    answer = fields_of(given_answer)
    shown = _shows_data(work, frame)
    given = getattr(data, "input", None)
    if given is None and shown:
        given = frame.get("input")
    instructions = answer.get("instructions") or (frame.get("system_instructions") if shown else None)
    heard = _heard(work, given, instructions) if shown else Heard()
    said = output_messages(answer.get("output"))
    found = _call(
        work,
        frame,
        heard,
        said,
        model=answer.get("model"),
        parameters=_settings_of(frame) if given_answer is None else _echoed_settings(answer, frame),
        usage=answer.get("usage") or getattr(data, "usage", None),
        finish_reason=_finish_of(answer) if given_answer is not None else None,
        tools=offered_tools(frame) or echoed_tools(answer),
    )
    prompt = answer.get("prompt")
    if prompt is not None and get(prompt, "id"):
        variables = get(prompt, "variables")
        found |= prompt_template_attributes(
            str(get(prompt, "id")),
            variables=dict(variables) if variables else None,
            version=get(prompt, "version"),
        )
    found["openai_agents.response_id"] = answer.get("id") or getattr(data, "_response_id", None)
    found["openai_agents.previous_response_id"] = answer.get("previous_response_id")
    return found


def generation(work: Work, data: Any) -> Attributes:
    """Describe a call through Chat Completions or an adapter to other models (``GenerationSpanData``)."""
    frame = locals_of(MODEL_CALL, anyones=True)
    shown = _shows_data(work, frame)
    given = getattr(data, "input", None)
    heard = Heard()
    if given and (isinstance(given, str) or not isinstance(given, Iterable)):
        heard.add(chat_messages(given))
    elif given:
        _history_of(work).read(heard, given, chat_item_messages)
    elif shown:
        heard = _heard(work, frame.get("input"), frame.get("system_instructions"))
    said, streamed = _generated(getattr(data, "output", None))
    made = _made_in(frame) if not said else None
    if shown and made is not None:
        said = output_messages(made.output)
    completion = _completion_of(frame)
    parameters = getattr(data, "model_config", None) or _settings_of(frame)
    return _call(
        work,
        frame,
        heard,
        said,
        model=get(completion, "model") or getattr(data, "model", None),
        parameters=_with_schema({**parameters}, frame) if shown else {**parameters},
        usage=get(completion, "usage") or getattr(data, "usage", None) or get(made, "usage"),
        finish_reason=_finish_of(streamed or made) if streamed or made else _chat_finish(completion),
        tools=offered_tools(frame),
    )


def speech(_work: Work, data: Any) -> Attributes:
    """Describe text turned into sound; the sound itself is left out."""
    return _voice(data, [Message("user", get(data, "input") or None)], [Message("assistant", [])])


def transcription(_work: Work, data: Any) -> Attributes:
    """Describe sound turned into text; the sound itself is left out."""
    text = get(data, "output") or None
    return _voice(data, [], [Message("assistant", text)] if text else [])


def _voice(data: Any, heard: list[Message], said: list[Message]) -> Attributes:
    model = get(data, "model")
    found = llm_attributes(
        model=model,
        system=system_name(model=model) or "openai",
        input_messages=[message for message in heard if message.content],
        output_messages=[message for message in said if message.content],
        invocation_parameters=_kept(get(data, "model_config") or {}),
    )
    found |= io_attributes(input=text_of(heard), output=text_of(said))
    found["openai_agents.first_content_at"] = get(data, "first_content_at")
    return found


def _call(
    work: Work,
    frame: Mapping[str, Any],
    heard: Heard,
    said: list[Message],
    *,
    model: str | None,
    parameters: Mapping[str, Any],
    usage: object,
    finish_reason: str | None,
    tools: Attributes,
) -> Attributes:
    client = frame.get("self")
    host = str(get(parameters, "base_url") or get(get(client, "_client"), "base_url") or "") or None
    # A host that nobody knows still speaks the API of the client's class.
    provider = provider_name(host=host) or ("openai" if type(client).__name__.startswith("OpenAI") else None)
    asked = get(client, "model")
    named = model or (asked if isinstance(asked, str) else None) or (type(client).__name__ if frame else None)
    words, answer = last_words(heard.messages), text_of(said)
    if work.flow.include_data:
        # A history that was nested at a handoff is told by the assistant alone.
        work.say(words or text_of(heard.messages[-1:]), answer)
    found = llm_attributes(
        provider=provider,
        system=None if provider else system_name(model=named) or type(client).__name__,
        model=named,
        output_messages=said,
        invocation_parameters=_kept(parameters),
        usage=usage_of(usage),
        finish_reason=finish_reason,
    )
    found |= heard.attributes
    found |= tools
    if heard.messages:
        last = heard.messages[-1]
        found |= io_attributes(input=text_of((last,)) or words or last)
    if said:
        found |= io_attributes(output=answer or [_call_as_json(call) for call in said[0].tool_calls])
    return found


def _call_as_json(call: ToolCall) -> dict[str, Any]:
    return {
        "id": call.id,
        "name": call.name,
        "arguments": call.arguments,
        "reasoning_signature": call.reasoning_signature,
    }


def _heard(work: Work, given: object, instructions: object) -> Heard:
    heard = Heard()
    _history_of(work).read(heard, items_of(given, instructions), item_messages)
    return heard


def _history_of(work: Work) -> History:
    run = work.above("task") or work.flow.root or work
    if run.history is None:
        run.history = History()
    return run.history


def _shows_data(work: Work, frame: Mapping[str, Any]) -> bool:
    """Tell whether content may be shown; a model call knows it for its whole run."""
    include = getattr(frame.get("tracing"), "include_data", None)
    if callable(include) and not include():
        work.flow.include_data = False
    return work.flow.include_data


def _kept(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in parameters.items() if value is not None and name not in _NOT_SETTINGS
    }


def _echoed_settings(answer: Mapping[str, Any], frame: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a response repeats; what was asked of its reasoning comes back changed."""
    settings = {name: answer.get(name) for name in _ECHOED}
    asked = get(frame.get("model_settings"), "reasoning") or settings["reasoning"]
    dump = getattr(asked, "model_dump", None)
    settings["reasoning"] = dump(exclude_none=True) if callable(dump) else asked
    return settings


def _settings_of(frame: Mapping[str, Any]) -> dict[str, Any]:
    settings = frame.get("model_settings")
    chosen = getattr(settings, "__dict__", None)
    if chosen is not None and _UNSET.issuperset(map(type, chosen.values())):
        return {}  # as most are; to ask the SDK is to have Pydantic look at the whole class
    as_json = getattr(settings, "to_json_dict", None)
    found = as_json() if callable(as_json) else {}
    return found if isinstance(found, dict) else {}


def _with_schema(parameters: dict[str, Any], frame: Mapping[str, Any]) -> dict[str, Any]:
    """Add the schema that the answer must have, which the span's settings leave out."""
    schema = frame.get("output_schema")
    if schema is None or schema.is_plain_text():
        return parameters
    parameters["response_format"] = {
        "type": "json_schema",
        "json_schema": {"name": schema.name(), "schema": schema.json_schema()},
    }
    return parameters


def _generated(output: object) -> tuple[list[Message], object]:
    """Translate a generation's output: chat messages, or a streamed call's response."""
    if not isinstance(output, Iterable) or isinstance(output, str | Mapping):
        return [], None
    messages: list[Message] = []
    streamed = None
    for item in output:
        if get(item, "object") == "response" or (
            get(item, "output") is not None and get(item, "role") is None
        ):
            streamed = item
            messages += output_messages(get(item, "output"))
        else:
            messages.append(chat_message(item))
    return messages, streamed


def _made_in(frame: Mapping[str, Any]) -> Any:
    """Return the answer of a model that does not tell its span of it, as the SDK's own doubles do not (0.24)."""
    for name in _ANSWERS:
        answer = frame.get(name)
        if isinstance(get(answer, "output"), list | tuple):
            return answer
    return None


def _completion_of(frame: Mapping[str, Any]) -> object:
    found = frame.get("response")
    return found if get(found, "choices") else None


def _chat_finish(completion: object) -> str | None:
    for choice in get(completion, "choices") or ():
        reason = get(choice, "finish_reason")
        return reason if isinstance(reason, str) else None
    return None


def _finish_of(answer: object) -> str | None:
    """Return the reason a response ended, in the words of Chat Completions."""
    status = get(answer, "status")
    if status == "incomplete":
        reason = get(get(answer, "incomplete_details"), "reason")
        return _REASONS.get(str(reason), str(reason))
    if status not in (None, "completed"):
        return str(status)
    if any(get(item, "type") in _CALLS for item in get(answer, "output") or ()):
        return "tool_calls"
    return "stop" if answer is not None else None
