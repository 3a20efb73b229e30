"""What a request asks of the model: tools, settings, the form of the answer."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Final

from lucidic.adapterkit import ToolSchema
from lucidic_adapters.pydantic_ai._runs import Request


_VENDOR: Final = re.compile(
    r"(openai|anthropic|google|bedrock|groq|mistral|cohere|xai|openrouter|huggingface|cerebras|azure|ollama)_(?=.)"
)
"""PydanticAI's prefix of settings that only one provider has; the provider's own name comes after it."""
_NOT_PARAMETERS: Final = frozenset(("extra_headers", "timeout"))
"""Headers may carry credentials; a timeout is the client's business."""


_OFFERED_AS: Final = {("openai", "code_execution"): "code_interpreter"}
"""Providers' own tools that the provider knows under another name than PydanticAI."""


def tools(parameters: Any, system: str | None = None) -> list[ToolSchema]:
    """Return the tools offered to the model: functions, output tools, the provider's own."""
    if parameters is None:
        return []
    offered = [*(parameters.function_tools or ()), *(parameters.output_tools or ())]
    found = [ToolSchema(tool.name, tool.description, tool.parameters_json_schema) for tool in offered]
    # Later releases warn when the older name is read.
    kept_in = "native_tools" if hasattr(parameters, "native_tools") else "builtin_tools"
    for tool in getattr(parameters, kept_in, None) or ():
        name = _OFFERED_AS.get((system or "", tool.kind), str(tool.kind))
        found.append(ToolSchema(name, getattr(tool, "description", None), _options(tool)))
    return found


def _options(tool: Any) -> dict[str, Any] | None:
    """Return how a provider's own tool is set up, without the credentials it may hold."""
    if not dataclasses.is_dataclass(tool):
        return None
    hidden = ("authorization_token", "headers", "kind", "description")
    given = {field.name: getattr(tool, field.name, None) for field in dataclasses.fields(tool)}
    return {name: value for name, value in given.items() if value and name not in hidden} or None


def invocation(request: Request) -> dict[str, Any]:
    """Return the settings of a request under the names that providers use."""
    own = getattr(request.model, "settings", None)
    merged: dict[str, Any] = {**(own if isinstance(own, Mapping) else {}), **(request.settings or {})}
    found: dict[str, Any] = {}
    for key, value in merged.items():
        if value is not None and key not in _NOT_PARAMETERS:
            found.setdefault(_VENDOR.sub("", key, count=1), value)
    wanted = getattr(request.parameters, "output_object", None)
    if wanted is not None and getattr(request.parameters, "output_mode", None) == "native":
        schema = {"name": wanted.name, "description": wanted.description, "schema": wanted.json_schema}
        schema = {key: value for key, value in schema.items() if value is not None}
        found.setdefault("response_format", {"type": "json_schema", "json_schema": schema})
    return found
