"""Draw JSON as HTML that folds."""

from __future__ import annotations

import json
from typing import Any, Final

from lucidic._view._content import parsed
from lucidic._view._html import cut_at, escaped
from lucidic._view._lines import pretty
from lucidic._view._words import count


_NODES: Final = 1_500
"""Values in one drawing; what is larger is drawn as text."""
_OPEN_CHARACTERS: Final = 600
"""Objects and lists that are longer begin folded."""
_DEEPEST: Final = 40


def draw_value(text: str, limit: int) -> str:
    """Return JSON as a tree of what can be folded, and any other text as it is."""
    value = parsed(text) if text.lstrip().startswith(("{", "[")) else None
    if not isinstance(value, (dict, list)) or not value:
        return f"<pre>{cut_at(text, limit)}</pre>"
    if _size(value, _NODES) > _NODES:
        return f"<pre>{cut_at(pretty(text), limit)}</pre>"
    return f'<div class="lc-json">{_draw(value, limit, 0, is_open=True)}</div>'


def _size(value: Any, most: int) -> int:
    """Count the values inside; stops beyond ``most``."""
    waiting, found = [(value, 0)], 0
    while waiting and found <= most:
        item, depth = waiting.pop()
        found += 1 if depth < _DEEPEST else most
        if isinstance(item, (dict, list)):
            inner = item.values() if isinstance(item, dict) else item
            waiting.extend((below, depth + 1) for below in inner)
    return found


def _draw(value: Any, limit: int, depth: int, *, key: str = "", is_open: bool = False) -> str:
    """Draw a value with its key before it."""
    named = f'<span class="lc-j-key">{escaped(key)}</span> ' if key else ""
    if not isinstance(value, (dict, list)) or not value:
        sort = {str: "text", bool: "word", type(None): "word"}.get(type(value), "number")
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return f'<div class="lc-j-row">{named}<span class="lc-j-{sort}">{cut_at(shown, limit)}</span></div>'
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    rows = "".join(_draw(item, limit, depth + 1, key=str(name)) for name, item in pairs)
    noun = "key" if isinstance(value, dict) else "item"
    small = len(json.dumps(value, ensure_ascii=False)) <= _OPEN_CHARACTERS
    opened = " open" if is_open or small else ""
    return f'<details class="lc-j-row"{opened}><summary>{named}{count(len(value), noun)}</summary>{rows}</details>'
