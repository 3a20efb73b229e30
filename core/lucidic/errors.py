"""The errors that explicit calls raise.

Callbacks, processors, exporters and exit paths never raise any of them::

    LucidicError
      ConfigurationError
        APIKeyVerificationError
        UnknownProviderError
      InvalidOperationError
        NotInitializedError            (also LucidicNotInitializedError)
        SessionActiveError
        SessionFinishedError
        SessionNotFoundError
      InvalidScoreError                (also ValueError)
      InvalidSessionIDError            (also ValueError; TypeError for ids that are no text)
      MissingDependencyError           (also ImportError)
      ExportError
        StoreError
"""

from __future__ import annotations

from collections.abc import Iterable


__all__ = [
    "APIKeyVerificationError",
    "ConfigurationError",
    "ExportError",
    "InvalidOperationError",
    "InvalidScoreError",
    "InvalidSessionIDError",
    "LucidicError",
    "LucidicNotInitializedError",
    "MissingDependencyError",
    "NotInitializedError",
    "SessionActiveError",
    "SessionFinishedError",
    "SessionNotFoundError",
    "StoreError",
    "UnknownProviderError",
]


class LucidicError(Exception):
    """The base of every error that lucidic raises."""


class ConfigurationError(LucidicError):
    """Raised when an argument or an environment variable holds what cannot be used."""


class APIKeyVerificationError(ConfigurationError):
    """Raised when the hosted API is asked for and its credential is missing or refused."""


class UnknownProviderError(ConfigurationError):
    """Raised when ``providers=`` or ``instrument()`` names a provider that does not exist."""

    def __init__(self, name: object, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(sorted(known))
        super().__init__(f"Unknown provider {name!r}. The known providers are: {', '.join(self.known)}.")


class InvalidOperationError(LucidicError):
    """Raised when a call does not fit the state that the session or the process is in."""


class NotInitializedError(InvalidOperationError):
    """Raised when a call needs a session and none is open."""


LucidicNotInitializedError = NotInitializedError
"""The name in the hosted SDK."""


class SessionActiveError(InvalidOperationError):
    """Raised when a session is continued while another one is active in this context."""

    def __init__(self, wanted: str, active: str) -> None:
        self.wanted = wanted
        self.active = active
        super().__init__(
            f"Session {wanted!r} cannot be continued while session {active!r} is active here. "
            f"End that one first with lai.end_session(), leave its block, or bind both with "
            f"lai.bind_session(session_id)."
        )


class SessionFinishedError(InvalidOperationError):
    """Raised when a finished session is continued without ``reopen=True``."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        super().__init__(
            f"Session {session_id!r} is finished. To continue it all the same, call "
            f"lai.continue_session({session_id!r}, reopen=True)."
        )


class SessionNotFoundError(InvalidOperationError):
    """Raised when a session id is not known."""

    def __init__(self, session_id: str, *, way_out: str) -> None:
        self.session_id = session_id
        super().__init__(f"Session {session_id!r} does not exist. {way_out}")


class InvalidScoreError(LucidicError, ValueError):
    """Raised when a score has no usable name or value, or nothing that it could be about."""


class InvalidSessionIDError(LucidicError, ValueError, TypeError):
    """Raised when a session id is empty or not text."""

    def __init__(self, session_id: object) -> None:
        self.session_id = session_id
        super().__init__(
            f"A session id must be a non-empty string, and {session_id!r} {_what_is_wrong(session_id)}. "
            f"Pass the id of your conversation, for example str(uuid.uuid4())."
        )


def _what_is_wrong(session_id: object) -> str:
    if not isinstance(session_id, str):
        return f"is of type {type(session_id).__name__}"
    if not session_id.strip():
        return "is empty"
    return "stands for no session" if session_id.isascii() else "holds half a character (a lone surrogate)"


class MissingDependencyError(LucidicError, ImportError):
    """Raised when a framework is used whose package is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        self.extra = extra
        super().__init__(f"{what} is not installed. Install it with: pip install 'lucidic-adapters[{extra}]'")


class ExportError(LucidicError):
    """The base of the errors of reading and delivering spans."""


class StoreError(ExportError):
    """Raised by readers when the local store cannot be read."""
