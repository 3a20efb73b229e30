"""OpenInference's attributes as OpenTelemetry's ``gen_ai.*``, in the JSON forms of its semantic conventions.

The OpenInference package translates; what it leaves out is added here: messages of agents and of the roots of turns,
instructions apart from messages, the two model names, reasoning tokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from openinference.semconv.trace import OpenInferenceSpanKindValues as Kind
from openinference.semconv.trace import SpanAttributes as Key

from lucidic._guard import log_once_a_minute


INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
OPERATION_NAME: Final = "gen_ai.operation.name"
_REQUEST_MODEL: Final = "gen_ai.request.model"
_RESPONSE_MODEL: Final = "gen_ai.response.model"
_REASONING: Final = "gen_ai.usage.reasoning.output_tokens"
_INSTRUCTING: Final = ("system", "developer")
_MODEL_KINDS: Final = (Kind.LLM.value, Kind.EMBEDDING.value)

Translate = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def gen_ai_attributes(attributes: Mapping[str, Any], *, is_turn: bool) -> dict[str, Any]:
    """Return what a span says in ``gen_ai.*``; nothing for a span that is not OpenInference's.

    Args:
        attributes: The span's attributes.
        is_turn: It is the root of a turn: it has the user's words and the answer's.
    """
    kind = attributes.get(Key.OPENINFERENCE_SPAN_KIND)
    if not isinstance(kind, str):
        return {}
    found = dict(_translator()(attributes))
    if kind in _MODEL_KINDS:
        found |= _models(attributes)
        _split_instructions(found)
        if reasoning := attributes.get(Key.LLM_TOKEN_COUNT_COMPLETION_DETAILS_REASONING):
            found[_REASONING] = reasoning
    elif kind == Kind.AGENT.value or (is_turn and kind == Kind.CHAIN.value):
        found.setdefault(OPERATION_NAME, "invoke_workflow")
        found |= {**_said(attributes), **found}
    return found


def _models(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model that was asked for and the one that answered; OpenInference's one name is the latter's."""
    name = attributes.get(Key.LLM_MODEL_NAME) or attributes.get(Key.EMBEDDING_MODEL_NAME)
    models = {
        _REQUEST_MODEL: attributes.get(Key.LLM_REQUEST_MODEL_NAME) or name,
        _RESPONSE_MODEL: attributes.get(Key.LLM_RESPONSE_MODEL_NAME) or name,
    }
    return {key: model for key, model in models.items() if model}


def _split_instructions(found: dict[str, Any]) -> None:
    """Take the instructions in front of a conversation out of its messages: they are an attribute of their own."""
    messages = _parsed(found.get(INPUT_MESSAGES))
    place, parts = 0, []
    for message in messages:
        if message.get("role") not in _INSTRUCTING:
            break
        parts += message.get("parts", ())
        place += 1
    if parts:
        found[SYSTEM_INSTRUCTIONS] = _json(parts)
        found[INPUT_MESSAGES] = _json(messages[place:])


def _parsed(text: object) -> list[dict[str, Any]]:
    if not isinstance(text, str):
        return []
    messages = json.loads(text)
    return messages if isinstance(messages, list) else []


def _said(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what went into a run and what came out as one message each."""
    found = {}
    if (words := attributes.get(Key.INPUT_VALUE)) is not None:
        found[INPUT_MESSAGES] = _json([{"role": "user", "parts": [_text_part(words)]}])
    if (words := attributes.get(Key.OUTPUT_VALUE)) is not None:
        answer = {"role": "assistant", "parts": [_text_part(words)], "finish_reason": "stop"}
        found[OUTPUT_MESSAGES] = _json([answer])
    return found


def _text_part(words: object) -> dict[str, str]:
    return {"type": "text", "content": words if isinstance(words, str) else str(words)}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _translator() -> Translate:
    """Return OpenInference's own translation; it is not public there, so it may move (0.1.72)."""
    try:
        from openinference.instrumentation._genai_conversion import get_genai_attributes
    except ImportError:
        log_once_a_minute(
            "gen_ai",
            "lucidic: this version of openinference-instrumentation translates nothing to gen_ai.*; "
            "only what lucidic adds to it is sent",
        )
        return _no_translation
    return get_genai_attributes


def _no_translation(_attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    return {}
