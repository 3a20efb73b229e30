"""Session ids: made, checked, and read from what frameworks hold."""

from __future__ import annotations

import logging
import re
import uuid

from lucidic.errors import InvalidSessionIDError


UNKNOWN = "unknown"
"""What ``context.get()`` answers without a session; never an id, never exported."""

_WEAK = re.compile(
    r"(test|session|default|demo|example|foo|none|null|undefined)?[-_ ]?\d{0,6}", re.IGNORECASE
)

logger = logging.getLogger("lucidic")
_hinted = False


def new_session_id() -> str:
    """Make a session id: a random UUID, because backends keep session ids unique over all projects."""
    return str(uuid.uuid4())


def check_session_id(session_id: object) -> str:
    """Return a caller's session id exactly as given.

    Raises:
        InvalidSessionIDError: It is empty or blank, no ``str``, no valid Unicode, or the word ``"unknown"``.

    """
    if not isinstance(session_id, str) or not _is_id(session_id):
        raise InvalidSessionIDError(session_id)
    if len(session_id) < 16 and _WEAK.fullmatch(session_id):
        _hint(session_id)
    return session_id


def framework_id(value: object) -> str | None:
    """Read an id from a framework's metadata: text as it is, int and UUID as text, else ``None``."""
    if isinstance(value, str):
        return value if _is_id(value) else None
    if isinstance(value, bool) or not isinstance(value, int | uuid.UUID):
        return None
    return str(value)


def _is_id(text: str) -> bool:
    """Tell whether a text can name a session; JSON may hold lone surrogates, which no backend can."""
    if not text.strip() or text == UNKNOWN:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _hint(session_id: str) -> None:
    global _hinted
    if not _hinted:
        _hinted = True
        logger.warning(
            "lucidic: %r is a weak session id: two conversations may use it and would be shown as one. "
            "Prefer str(uuid.uuid4()) or f'user_{user_id}_conv_{conversation_id}'.",
            session_id,
        )
