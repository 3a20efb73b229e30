"""Roots for backends that show a turn by its root alone, where the parent is in a process that they never hear of."""

from __future__ import annotations

from typing import Final

from lucidic._export._decode import decode_pair, raw_fields
from lucidic._export._payload import SpanEntry


LOCAL_ROOT: Final = "lucidic.local_root"
_MARK: Final = LOCAL_ROOT.encode()
_PARENT, _ATTRIBUTE, _FLAGS = 4, 9, 16


def as_local_root(entry: SpanEntry) -> SpanEntry:
    """Return a span without its parent if that is marked as unknown to sessions; others stay as they are."""
    if _MARK not in entry.data:
        return entry
    parts, is_marked = [], False
    for number, raw, value in raw_fields(entry.data):
        if number not in (_PARENT, _FLAGS):
            parts.append(raw)
        if number == _ATTRIBUTE and not is_marked:
            is_marked = decode_pair(value) == (LOCAL_ROOT, True)
    return entry._replace(data=b"".join(parts)) if is_marked else entry
