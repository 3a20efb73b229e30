"""Tools and retrievers: arguments, results, documents."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from langchain_core.messages import ToolMessage

from lucidic.adapterkit import Document, io_attributes, retriever_attributes, tool_attributes
from lucidic_adapters.langchain._bridge_cell import called
from lucidic_adapters.langchain._io import as_json, text_of
from lucidic_adapters.langchain._runs import Run


_PLACES: Final = {
    "input": ("input.value", "input.mime_type"),
    "output": ("output.value", "output.mime_type"),
}
_SCORES: Final = ("score", "relevance_score", "_score", "similarity_score", "similarity")

_SCHEMAS: Final[dict[int, tuple[weakref.ref[Any], str]]] = {}
"""Schemas by the identity of the tool."""
_MOST_SCHEMAS: Final = 512


def json_io(side: Literal["input", "output"], value: object) -> dict[str, Any]:
    """Describe an input or output: text as it is, anything else as JSON."""
    if isinstance(value, str):
        return io_attributes(value) if side == "input" else io_attributes(output=value)
    if value is None:
        return {}
    text, kind = _PLACES[side]
    return {text: as_json(value), kind: "application/json"}


def tool_request(
    run: Run,
    name: str,
    serialized: Mapping[str, Any] | None,
    input_str: str,
    inputs: Mapping[str, Any] | None,
    call_id: object,
) -> dict[str, Any]:
    """Describe the call of a tool."""
    given: object = input_str if inputs is None else inputs
    found: dict[str, Any] = tool_attributes(
        name,
        description=(serialized or {}).get("description"),
        arguments=given if isinstance(given, str) else as_json(given),
        id=call_id if isinstance(call_id, str) else _id_of_call(run.parent, name, given),
    )
    tool = called(run)
    schema = None if tool is None else _schema_of(tool)
    if schema:
        found["tool.json_schema"] = schema
    return {**found, **json_io("input", given)}


def _schema_of(tool: Any) -> str | None:
    """Return the schema of a tool's arguments as JSON; LangChain makes it anew for each question, or did once."""
    known = _SCHEMAS.get(id(tool))
    if known is not None and known[0]() is tool:
        return known[1]
    try:
        schema = tool.tool_call_schema
        found = schema if isinstance(schema, Mapping) else schema.model_json_schema()
        text, key = as_json(found), weakref.ref(tool)
    except Exception:  # noqa: BLE001  # users' classes, of which Pydantic can make no schema
        return None
    if len(_SCHEMAS) >= _MOST_SCHEMAS:
        _SCHEMAS.clear()
    _SCHEMAS[id(tool)] = key, text
    return text


def _id_of_call(parent: Run | None, name: str, given: object) -> str | None:
    """Return, once, the id of the call that a tool answers, from what its agent asked for."""
    if parent is None or not parent.asked:
        return None
    same = [call for call in parent.asked if call[0] == name]
    call = next((call for call in same if call[1] == given), same[0] if same else None)
    if call is None:
        return None
    parent.asked.remove(call)
    return call[2]


def tool_result(output: object) -> tuple[dict[str, Any], str | None]:
    """Describe what a tool returned, and the error that it handled itself, if any."""
    message = _tool_message(output)
    if message is None:
        return json_io("output", output), None
    text = text_of(message.content)
    shown = json_io("output", text if text or not message.content else message.content)
    if message.tool_call_id:
        shown["tool.id"] = message.tool_call_id
    return shown, (text or "error") if message.status == "error" else None


def _tool_message(output: object) -> ToolMessage | None:
    """Find the message in what a tool returned: itself, in a list, or in a command's update."""
    if isinstance(output, ToolMessage):
        return output
    update = getattr(output, "update", None)
    inner = update.get("messages") if isinstance(update, Mapping) else output
    if isinstance(inner, Sequence) and not isinstance(inner, str):
        return next((item for item in inner if isinstance(item, ToolMessage)), None)
    return None


def found_documents(documents: Sequence[Any]) -> dict[str, Any]:
    """Describe what a retriever found."""
    found: dict[str, Any] = retriever_attributes(document_of(document) for document in documents)
    return {**found, **json_io("output", list(documents))}


def document_of(document: Any) -> Document:
    """Translate a document."""
    metadata = getattr(document, "metadata", None) or {}
    score = next((metadata[key] for key in _SCORES if isinstance(metadata.get(key), int | float)), None)
    return Document(
        content=getattr(document, "page_content", None) or str(document),
        id=getattr(document, "id", None) or metadata.get("id") or metadata.get("_id"),
        score=score,
        metadata=metadata,
    )
