"""Flattened attributes as the lists and objects that they were."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lucidic._records import JSONValue


def pick_json(value: JSONValue | None) -> Any:
    """Return the list or object that a text holds as JSON; anything else as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def nested(attributes: Mapping[str, JSONValue], prefix: str) -> list[Any]:
    """Return the list that is flattened under ``prefix``, ordered by its indices; nothing is left out.

    A key that stands both for a value and for what is below it keeps the value under an empty name.
    """
    start = prefix + "."
    found: dict[str, Any] = {}
    for key, value in attributes.items():
        if not key.startswith(start):
            continue
        *path, last = key[len(start) :].split(".")
        place = found
        for step in path:
            below = place.get(step)
            if not isinstance(below, dict):
                below = place[step] = {} if below is None else {"": below}
            place = below
        if isinstance(place.get(last), dict):
            place[last][""] = value
        else:
            place[last] = value
    return rows(found)


def rows(found: object) -> list[Any]:
    """Return what stands under indices, in their order."""
    if not isinstance(found, dict):
        return []
    return [found[index] for index in sorted((key for key in found if key.isdecimal()), key=int)]


def keys_below(attributes: Mapping[str, JSONValue], prefix: str) -> list[str]:
    """Return the keys that are flattened under ``prefix``."""
    return [key for key in attributes if key.startswith(prefix + ".")]
