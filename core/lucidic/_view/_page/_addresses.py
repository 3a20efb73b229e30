"""The addresses of the page, and what they ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final
from urllib.parse import urlencode

from lucidic._records import StoredSession
from lucidic._view._content import text_of


STATES = ("active", "finished", "died")


EVERY: Final = {"every": "1"}
"""Part of the address of a session whose steps are not folded."""


def session_address(session_id: str, **more: str) -> str:
    """Return the address of a session."""
    return "/session?" + urlencode({"id": session_id, **more})


def place_address(session_id: str, trace_id: str, span_id: str, **more: str) -> str:
    """Return the address of a span in its session."""
    return session_address(session_id, trace=trace_id, span=span_id, **more)


def span_address(trace_id: str, span_id: str, **more: str) -> str:
    """Return the address of a span alone."""
    return "/span?" + urlencode({"trace": trace_id, "id": span_id, **more})


@dataclass(frozen=True, kw_only=True, slots=True)
class ListFilters:
    """What the list of sessions is narrowed to."""

    q: str = ""
    """Part of a name, an id, a user or a tag."""
    state: str = ""
    user: str = ""
    tag: str = ""
    failed: str = ""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> ListFilters:
        """Read an address; what it does not know is no filter."""
        known = {name: query.get(name, "").strip() for name in cls.__slots__}
        known["state"] = known["state"] if known["state"] in STATES else ""
        return cls(**known)

    @property
    def asks_the_store(self) -> bool:
        """Whether the store alone can answer; it knows exact names only and no parts."""
        return not self.q and not self.failed

    def takes(self, session: StoredSession) -> bool:
        """Tell whether a session is one of those that only reading it can tell."""
        if self.failed and not session.errors:
            return False
        if not self.q:
            return True
        tags = session.fields.get("tags")
        texts = [session.name or "", session.session_id, text_of(session.fields.get("user_id"))]
        texts += map(text_of, tags if isinstance(tags, list) else [])
        return any(self.q.casefold() in text.casefold() for text in texts)

    def address(self, path: str = "/", **more: str) -> str:
        """Return the address of the same list."""
        given = {key: value for key, value in asdict(self).items() if value}
        return f"{path}?{urlencode({**given, **more})}" if given or more else path


@dataclass(frozen=True, kw_only=True, slots=True)
class SpanFilters:
    """What the spans of a session are narrowed to."""

    q: str = ""
    """Part of a name or of any text that was recorded."""
    kind: str = ""
    failed: str = ""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> SpanFilters:
        """Read an address."""
        return cls(**{name: query.get(name, "").strip() for name in cls.__slots__})

    def __bool__(self) -> bool:
        return bool(self.q or self.kind or self.failed)
