"""What leaves this process: masking, OpenInference's hide settings, and content left out altogether.

Applied before anything is written anywhere. A mask that raises or returns no text leaves a
placeholder, never the content.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from lucidic._guard import log_once_a_minute


if TYPE_CHECKING:
    from openinference.instrumentation import TraceConfig

REDACTED: Final = "__REDACTED__"
"""OpenInference's word for hidden content."""
MASK_FAILED: Final = "__MASKING_FAILED__"

_STRUCTURE = re.compile(
    r"(lucidic\.(?!step\.|event\.|metadata).*|session\.id|user\.id|gen_ai\.conversation\.id|.*\.mime_type|openinference\.span\.kind"
    r"|llm\.(system|provider|model_name|finish_reason|request\.model_name|response\.model_name)"
    r"|(agent|tool)\.name|tool\.id|graph\.node\..*|embedding\.model_name|reranker\.model_name"
    r"|.*\.message\.(role|name|tool_call_id)|.*\.tool_call\.(id|function\.name)|.*\.message_content\.(type|id)"
    r"|gen_ai\.(operation\.name|system|provider\.name|request\.model|response\.(model|id|finish_reasons)|agent\.(name|id)"
    r"|tool\.(name|type|call\.id)|output\.type|token\.type)|exception\.(type|escaped)|code\..*|thread\..*|telemetry\..*"
    r"|service\..*)"
)
"""Keys that hold no content: ids, names, kinds. Everything else that is text is masked."""

_HIDDEN_WITH_INPUTS = re.compile(
    r"tool\.(parameters|description)|llm\.(prompt_template\..*|invocation_parameters|tools\..*|prompts\..*)"
    r"|metadata|tag\.tags|lucidic\.(step|event|metadata)\..*|input\.(images|documents)\..*|reranker\.(query|input_documents\..*)"
    r"|gen_ai\.(input\..*|prompt.*|system_instructions|tool\.(call\.arguments|definitions|description)|request\.stop_sequences)"
    r"|pydantic_ai\..*|all_messages.*|tool_arguments|model_request_parameters|embedding\.embeddings\..*"
)
_HIDDEN_WITH_OUTPUTS = re.compile(
    r"llm\.(function_call|choices\..*)|retrieval\.documents\..*|reranker\.output_documents\..*|output\.(images|documents)\..*"
    r"|gen_ai\.(output\..*|completion.*|tool\.call\.result)|final_result|tool_response|pydantic_ai\.all_messages"
    r"|lucidic\.(step|event)\.(result|state|action).*|all_messages.*"
)
_ERROR_TEXTS = ("exception.message", "exception.stacktrace")

Attributes = Mapping[str, Any]


class Privacy:
    """The rules for content of one handler or of the process."""

    __slots__ = ("_config", "_hide_inputs", "_hide_outputs", "_mask", "active")

    def __init__(
        self,
        *,
        mask: Callable[[str], str] | None = None,
        capture_content: bool = True,
        config: TraceConfig | None = None,
    ) -> None:
        """Build the rules; ``config`` defaults to OpenInference's environment variables."""
        self._mask = mask
        self._config = config or _config_from_environment(capture_content=capture_content)
        self._hide_inputs = bool(self._config and self._config.hide_inputs)
        self._hide_outputs = bool(self._config and self._config.hide_outputs)
        self.active = mask is not None or self._config is not None
        """False: nothing is changed, and nothing is looked at."""

    def attributes(self, attributes: Attributes) -> dict[str, Any]:
        """Return the attributes as they may be written."""
        kept = {}
        for key, value in attributes.items():
            shown = self._hidden(key, value)
            if shown is None:
                continue
            kept[key] = self._masked(key, shown) if self._mask is not None else shown
        return kept

    def text(self, text: str) -> str:
        """Return a text that belongs to no attribute (a status, a name of an event) as it may be written."""
        if not text:
            return text
        if self._hide_inputs or self._hide_outputs:
            return REDACTED
        return text if self._mask is None else self._apply(text)

    def label(self, text: str) -> str:
        """Return a word that a program chose, such as a verdict, as it may be written: masked, and never left out."""
        return self._apply(text)

    def _hidden(self, key: str, value: Any) -> Any:
        if self._config is None:
            return value
        value = self._config.mask(key, value)
        if value is None:
            return None
        if self._hide_inputs and _HIDDEN_WITH_INPUTS.fullmatch(key):
            return None
        if self._hide_outputs and _HIDDEN_WITH_OUTPUTS.fullmatch(key):
            return None
        if key in _ERROR_TEXTS and (self._hide_inputs or self._hide_outputs):
            return REDACTED
        return value

    def _masked(self, key: str, value: Any) -> Any:
        if _STRUCTURE.fullmatch(key):
            return value
        if isinstance(value, str):
            return self._masked_text(value)
        if isinstance(value, bytes):
            return self._masked_text(value.decode("utf-8", "replace"))
        if isinstance(value, list | tuple) and any(isinstance(item, str) for item in value):
            return [self._masked_text(item) if isinstance(item, str) else item for item in value]
        return value

    def _masked_text(self, text: str) -> str:
        """Mask a text; JSON is masked leaf by leaf, because escapes would hide a secret from the mask."""
        if text[:1] in "{[":
            try:
                return json.dumps(self._masked_json(json.loads(text)), ensure_ascii=False)
            except (ValueError, RecursionError):  # no JSON, or nested too deep to walk
                return self._apply(text)
        return self._apply(text)

    def _masked_json(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._masked_text(value)
        if isinstance(value, list):
            return [self._masked_json(item) for item in value]
        if isinstance(value, dict):
            masked: dict[str, Any] = {}
            for key, item in value.items():
                name = self._apply(key)
                while name in masked:
                    name += "'"
                masked[name] = self._masked_json(item)
            return masked
        if isinstance(value, int | float) and not isinstance(value, bool):
            text = json.dumps(value)  # a number in a text is text: a card's, an account's
            return value if (shown := self._apply(text)) == text else shown
        return value

    def _apply(self, text: str) -> str:
        if not text or self._mask is None:
            return text
        try:
            masked = self._mask(text)
        except Exception:  # noqa: BLE001  # a user's function; its text may be the secret, so it is not logged
            masked = None
        if not isinstance(masked, str):
            log_once_a_minute(
                "mask", "lucidic: the masking function raised or returned no text; content was left out"
            )
            return MASK_FAILED
        return masked


def _config_from_environment(*, capture_content: bool) -> TraceConfig | None:
    """Return OpenInference's settings, or ``None`` where they would change nothing."""
    asked = any(
        value.strip().lower() == "true"
        for name, value in os.environ.items()
        if name.startswith("OPENINFERENCE_HIDE_")
    )
    if capture_content and not asked and "OPENINFERENCE_BASE64_IMAGE_MAX_LENGTH" not in os.environ:
        return None
    from openinference.instrumentation import TraceConfig

    if capture_content:
        return TraceConfig()
    return TraceConfig(
        hide_inputs=True, hide_outputs=True, hide_embeddings_text=True, hide_embeddings_vectors=True
    )
