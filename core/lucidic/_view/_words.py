"""Numbers, times and foreign text in the form that people read."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Final


_SECOND_NS: Final = 1_000_000_000


def _controls() -> dict[int, str]:
    table = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"}
    table[0x7F] = "\u2421"
    # C1 controls drive terminals, bidi overrides reorder a line, and lone surrogates cannot be encoded.
    unsafe = (*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029)
    table.update(dict.fromkeys((*unsafe, *range(0xD800, 0xE000)), "\ufffd"))
    return table


_CONTROLS: Final = _controls()


def safe(text: str) -> str:
    """Return ``text`` with every character that could drive the terminal made visible."""
    return text.replace("\r\n", "\n").translate(_CONTROLS).expandtabs(4)


def one_line(text: str, limit: int = 400) -> str:
    """Return the start of ``text`` as one safe line of at most ``limit`` characters."""
    line = " ".join(safe(text[: limit * 4]).split())
    return line if len(line) <= limit and len(text) <= limit * 4 else line[: limit - 1].rstrip() + "…"


def duration(nanoseconds: int) -> str:
    """Return a length of time with two or three significant digits: ``5ms``, ``0.31s``, ``2m13s``, ``1h04m``."""
    seconds = max(nanoseconds, 0) / _SECOND_NS
    if seconds < 0.0995:
        milliseconds = seconds * 1000
        return f"{milliseconds:.1f}ms" if 0 < milliseconds < 0.95 else f"{milliseconds:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.2f}s" if seconds < 0.995 else f"{seconds:.1f}s"
    if seconds < 59.5:
        return f"{seconds:.0f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours < 48 else f"{hours // 24}d{hours % 24:02d}h"


def count(number: int, noun: str) -> str:
    """Return ``1 span``, ``2 spans``, ``1,234 spans``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def short_count(number: int) -> str:
    """Return a number in at most six characters: ``950``, ``12,345``, ``1.2M``."""
    return (
        f"{number:,}"
        if number < 100_000
        else f"{number / 1000:.0f}k"
        if number < 1e6
        else f"{number / 1e6:.1f}M"
    )


def iso(nanoseconds: int) -> str:
    """Return a time as ISO-8601 in UTC with microseconds."""
    seconds, rest = divmod(nanoseconds, _SECOND_NS)
    moment = datetime.fromtimestamp(seconds, timezone.utc).replace(microsecond=rest // 1000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def clock(nanoseconds: int) -> str:
    """Return the local time of day."""
    return datetime.fromtimestamp(nanoseconds // _SECOND_NS).astimezone().strftime("%H:%M:%S")


def day_and_clock(nanoseconds: int) -> str:
    """Return the local date and time to the minute."""
    return datetime.fromtimestamp(nanoseconds // _SECOND_NS).astimezone().strftime("%Y-%m-%d %H:%M")
