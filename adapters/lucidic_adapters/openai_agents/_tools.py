"""The tools that a model was offered, and the one that runs: each description is written once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from lucidic.adapterkit import ToolSchema, tool_attributes, tool_schema_attributes
from lucidic_adapters.openai_agents._responses import get


Attributes = dict[str, Any]
_Key: TypeAlias = tuple[tuple[str, str | None, int], ...]

_MOST: Final = 64
_written: Final[dict[tuple[Callable[..., Attributes], _Key], tuple[list[ToolSchema], Attributes]]] = {}
"""What was written of tools: an agent offers the same ones in every call, and their schemas are long.

The same schema object with the same name and description is the same tool; it is kept with what was written,
so that its id stays its own.
"""


def offered_tools(frame: Mapping[str, Any]) -> Attributes:
    """Describe the tools and handoffs of a model's call; nothing where the provider runs one of them."""
    offered = []
    for tool in [*(frame.get("tools") or ()), *(frame.get("handoffs") or ())]:
        schema = _schema_of(tool)
        if schema is None:
            return {}
        offered.append(schema)
    return _once(tool_schema_attributes, offered)


def running_tool(name: str, tool: object) -> Attributes:
    """Describe the tool of a function span, where it is known."""
    schema = _schema_of(tool)
    if schema is None:
        return tool_attributes(name, description=get(tool, "description"))
    schema.name = name
    return _once(_one_tool, [schema])


def echoed_tools(answer: Mapping[str, Any]) -> Attributes:
    """Describe the tools that a response repeats; those that the provider runs have a type for a name."""
    found = []
    for tool in answer.get("tools") or ():
        if get(tool, "type") == "function":
            found.append(
                ToolSchema(str(get(tool, "name")), get(tool, "description"), get(tool, "parameters"))
            )
        else:
            dump = getattr(tool, "model_dump", None)
            fields = dump(exclude_none=True, warnings=False) if callable(dump) else dict(tool)
            label = get(tool, "server_label")
            name = f"{get(tool, 'type')}.{label}" if label else get(tool, "name") or get(tool, "type")
            found.append(ToolSchema(str(name), get(tool, "description"), {"hosted_tool": fields}))
    return tool_schema_attributes(found)


def _schema_of(tool: Any) -> ToolSchema | None:
    """Return what is known of a function or a handoff; ``None`` for a tool that the provider runs."""
    if hasattr(tool, "params_json_schema"):
        return ToolSchema(str(tool.name), getattr(tool, "description", None), tool.params_json_schema)
    if hasattr(tool, "tool_name"):
        schema = getattr(tool, "input_json_schema", None)
        return ToolSchema(str(tool.tool_name), getattr(tool, "tool_description", None), schema)
    return None


def _one_tool(tools: list[ToolSchema]) -> Attributes:
    (tool,) = tools
    return tool_attributes(tool.name, description=tool.description, json_schema=tool.json_schema)


def _once(write: Callable[..., Attributes], tools: list[ToolSchema]) -> Attributes:
    key = write, tuple([(tool.name, tool.description, id(tool.json_schema)) for tool in tools])
    known = _written.get(key)
    if known is None:
        if len(_written) >= _MOST:
            _written.clear()
        known = _written[key] = tools, write(tools)
    return known[1]
