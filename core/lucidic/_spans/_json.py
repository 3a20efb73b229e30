"""Anything to JSON text: for attributes that hold what user code passed around."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import deque
from collections.abc import Callable, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID


DEFAULT_LIMIT: Final = 1_000_000
"""Characters of JSON text that ``dumps`` writes unless told otherwise."""

_MAX_DEPTH: Final = 60
_MAX_ARRAY: Final = 10_000
_MAX_INT_BITS: Final = 8_192  # int() refuses to print more than 4,300 digits
_ITEM_COST: Final = 2


def dumps(value: object, *, limit: int | None = DEFAULT_LIMIT) -> str:
    """Write any value as JSON text; never raise, whatever the value's own methods do.

    What has no JSON form becomes its ISO form, its ``repr`` or a marker in angle brackets. Characters stay as
    they are (no ASCII escapes), lone surrogates become U+FFFD, NaN and infinities become strings. Text
    longer than ``limit`` characters is cut inside its strings, lists and objects, each cut says what is
    missing, and the result is still valid JSON. ``limit=None`` does not cut.
    """
    try:
        text = _encode(value)
    except Exception:  # noqa: BLE001 - cycles, NaN, odd keys, foreign methods: the walk deals with each
        text = None
    if text is None or (limit is not None and len(text) > limit):
        text = _walked(value, limit)
    return clean(text)


def json_encoder(default: Callable[[object], object]) -> Callable[[object], str]:
    """Return a function that writes JSON text, made once: ``json.JSONEncoder`` makes an encoder for every value.

    It raises what ``json`` raises; a cycle is found by the recursion limit.

    Args:
        default: Gives what stands for a value that JSON has no form for, or raises.

    """
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # no C accelerator: PyPy
        return json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=default).encode
    parts = make(None, default, json.encoder.encode_basestring, None, ": ", ", ", False, False, False)
    return lambda value: "".join(parts(value, 0))


def clean(text: str) -> str:
    """Return text that UTF-8 can hold: surrogate pairs joined, lone surrogates replaced by U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def cut(text: str, limit: int | None = DEFAULT_LIMIT) -> str:
    """Return at most ``limit`` characters of clean text, the last ones saying how many are missing."""
    text = str.__str__(text)  # an exact string also for members of string enumerations
    if limit is None or len(text) <= limit:
        return clean(text)
    marker = f"… [{len(text) - limit} more characters]"
    return clean(text[:limit]) if len(marker) >= limit else clean(text[: limit - len(marker)] + marker)


def json_object(value: object) -> str:
    """Write a value as a JSON object; a text that is one already stays, anything else goes under ``input``."""
    if isinstance(value, str):
        return clean(value) if isinstance(parsed(value), dict) else dumps({"input": value})
    text = dumps(value)
    return text if text.startswith("{") else dumps({"input": value})


def parsed(text: str) -> object:
    """Return what a JSON text holds, or ``NOT_JSON``; NaN and infinities are no JSON."""
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        return NOT_JSON


NOT_JSON: Final = object()


def _refuse(constant: str) -> object:
    raise ValueError(constant)


def _walked(value: object, limit: int | None) -> str:
    budget = limit
    try:
        while True:
            text = _encode(_Walk(budget).plain(value, 0))
            # Escapes and punctuation are only estimated during the walk, so a result may still be too long.
            if limit is None or budget is None or len(text) <= limit or budget < 32:
                return text if limit is None or len(text) <= limit else '"…"'
            budget = budget * limit * 9 // (len(text) * 10)
    except Exception:  # noqa: BLE001 - for instance a caller that already stands at the recursion limit
        return json.dumps(f"<{_name(value)}>")


class _Walk:
    """One pass over a value that copies it into plain JSON types, as far as the budget of characters goes."""

    def __init__(self, budget: int | None) -> None:
        self._left = math.inf if budget is None else budget
        self._open: set[int] = set()

    def plain(self, value: Any, depth: int) -> Any:
        try:
            return self._scalar_or_container(value, depth)
        except Exception as error:  # noqa: BLE001 - methods of foreign objects
            return f"<{_name(value)}: {_name(error)}>"

    def _scalar_or_container(self, value: Any, depth: int) -> Any:
        if value is None or value is True or value is False:
            self._left -= 5
            return value
        if isinstance(value, str):
            return self._text(str.__str__(value))
        if isinstance(value, int):
            self._left -= value.bit_length() // 3 + 1
            return int.__int__(value) if value.bit_length() < _MAX_INT_BITS else "<int>"
        if isinstance(value, float):
            self._left -= 20
            return float.__float__(value) if math.isfinite(value) else _not_finite(value)
        if depth > _MAX_DEPTH:
            return "<nested too deep>"
        if id(value) in self._open:
            return "<cycle>"
        self._open.add(id(value))
        try:
            if isinstance(value, dict):
                return self._object(value, depth)
            if isinstance(value, (list, tuple)):
                return self._array(value, depth)
            return self.plain(_plain(value), depth + 1)
        finally:
            self._open.discard(id(value))

    def _text(self, text: str) -> str:
        room = max(int(self._left) - _ITEM_COST, 0) if self._left != math.inf else None
        self._left -= len(text) + _ITEM_COST
        return text if room is None else cut(text, max(room, 32))

    def _object(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for position, (key, item) in enumerate(list(value.items())):
            if self._left <= 0:
                found["…"] = f"{len(value) - position} more keys"
                break
            self._left -= _ITEM_COST
            found[_key(self.plain(key, depth + 1))] = self.plain(item, depth + 1)
        return found

    def _array(self, value: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
        found: list[Any] = []
        for position, item in enumerate(value):
            if self._left <= 0:
                found.append(f"… {len(value) - position} more items")
                break
            self._left -= _ITEM_COST
            found.append(self.plain(item, depth + 1))
        return found


def _key(plain: Any) -> str:
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """Take one step from a foreign value to JSON's types; the result may hold foreign values again."""
    try:
        return _step(value)
    except Exception as error:  # noqa: BLE001 - methods of foreign objects
        return f"<{_name(value)}: {_name(error)}>"


def _step(value: Any) -> Any:
    if isinstance(value, type):
        return f"<class {value.__module__}.{value.__qualname__}>"
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (UUID, Decimal, PurePath, timedelta)):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _bytes(bytes(value))
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return _ordered(value)
    if isinstance(value, deque):
        return list(value)
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: getattr(value, name) for name in names if hasattr(value, name)}
    if hasattr(value, "model_dump"):
        return _model(value)
    if hasattr(value, "dtype"):
        return _array_value(value)
    shown = repr(value)
    # An object that does not describe itself shows its address, which differs from run to run.
    return f"<{_name(value)}>" if shown == object.__repr__(value) else shown


def _model(value: Any) -> Any:
    """Dump a Pydantic model one level at a time where possible, so that one bad field costs only itself."""
    try:
        return value.model_dump(warnings=False)
    except TypeError:
        return value.model_dump()


def _array_value(value: Any) -> Any:
    """Convert scalars and small arrays of NumPy, torch and the like, known by their ``dtype``."""
    if getattr(value, "size", 1) == 1 and not getattr(value, "shape", ()):
        item = value.item()
        return repr(value) if hasattr(item, "dtype") else item
    size = math.prod(getattr(value, "shape", ()))
    if size > _MAX_ARRAY or not hasattr(value, "tolist"):
        return f"<{_name(value)} shape={tuple(value.shape)}>"
    return value.tolist()


def _bytes(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"<{len(value)} bytes>"


def _ordered(value: set[Any] | frozenset[Any]) -> list[Any]:
    try:
        return sorted(value)
    except TypeError:
        return list(value)


def _not_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


# Made once: json.loads and json.dumps make one for every call that differs from their defaults.
_DECODER: Final = json.JSONDecoder(parse_constant=_refuse)
_encode: Final = json_encoder(_plain)
