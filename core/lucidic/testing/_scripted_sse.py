"""Server-sent events, as the wire formats share them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final


CREATED: Final = 1_767_225_600
"""The time of every answer, in seconds since 1970: fixed, so that two runs give the same bytes."""

DONE: Final = b"data: [DONE]\n\n"


def sse(payload: Mapping[str, Any], *, named: bool = True) -> bytes:
    """Return one event; a named one has its ``type`` as the event's name."""
    data = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    name = f"event: {payload['type']}\n" if named else ""
    return f"{name}data: {data}\n\n".encode()


def words(text: str | None) -> list[str]:
    """Cut a text into the pieces it is streamed in: a word with the white space after it."""
    return re.findall(r"\S+\s*|\s+", text or "")


def pieces(text: str, size: int = 12) -> list[str]:
    """Cut JSON text into pieces of ``size`` characters, wherever they fall."""
    return [text[start : start + size] for start in range(0, len(text), size)]
