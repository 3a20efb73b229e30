"""Asking the hosted API in an explicit call: whether the key is good, and what state a session is in."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from lucidic._export._hosted_config import HostedConfig
from lucidic._export._hosted_http import DENIED, HostedClient, Reply, UnreachableError
from lucidic._export._hosted_state import SessionStates
from lucidic._records import SessionState
from lucidic.errors import APIKeyVerificationError


if TYPE_CHECKING:
    import httpx


ASK_SECONDS: Final = 2.0
"""Most seconds that an explicit call waits for the hosted API."""
GOOD_SECONDS: Final = 24 * 3600.0
"""Seconds for which a key that was accepted is not asked about again, by any process with the same home."""
UNANSWERED_SECONDS: Final = 60.0
"""Seconds after which this process asks again about a key that nobody answered for."""

_unanswered: dict[str, float] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class HostedRegistry:
    """The hosted API as explicit calls see it. Being offline is no error: then the local registry alone decides.

    Attributes:
        config: The backend and the credentials.
        folder: Where the sink keeps its states, and where it is noted that a key is good.
        transport: Takes the requests instead of the network (for tests).
        clock: Tells the time of the day in seconds.
    """

    config: HostedConfig
    folder: Path
    transport: httpx.BaseTransport | None = None
    clock: Callable[[], float] = time.time

    def check_key(self) -> None:
        """Make sure that the key is not a refused one; waits only where nothing is known of the key.

        Raises:
            APIKeyVerificationError: The backend refuses key or agent id.
        """
        mark, now = _mark(self.config, self.folder), self.clock()
        with contextlib.suppress(OSError):
            if abs(now - mark.stat().st_mtime) < GOOD_SECONDS:
                return
        if now - _unanswered.get(mark.name, -UNANSWERED_SECONDS) < UNANSWERED_SECONDS:
            return
        reply = self._ask("sessions", limit=1, offset=0, agent_id=self.config.agent_id)
        if reply is None or reply.meaning != "ok":
            _unanswered[mark.name] = now
            return
        _unanswered.pop(mark.name, None)
        # A folder that cannot be written is the journal's to complain about; the next process asks again.
        with contextlib.suppress(OSError):
            mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            mark.touch(mode=0o600)

    def find(self, session_id: str) -> SessionState | None:
        """Ask for the state of a session; None if the backend does not know it or does not answer.

        Args:
            session_id: The user's id.

        Raises:
            APIKeyVerificationError: The backend refuses the credentials, or the session belongs to others.
        """
        reply = self._ask(f"sessions/{quote(self._backend_id(session_id), safe='')}")
        if reply is None or reply.meaning != "ok":
            return None
        return "finished" if (reply.content or {}).get("is_finished") is True else "active"

    def _backend_id(self, session_id: str) -> str:
        path = self.folder / f"{self.config.name}.db"
        states = SessionStates(path)
        if not path.exists():
            return session_id
        with states.opened():
            known = states.get(session_id)
        return session_id if known is None else known.backend_id

    def _ask(self, path: str, **query: Any) -> Reply | None:
        client = HostedClient(self.config, transport=self.transport)
        try:
            reply = client.call("GET", path, time.monotonic() + ASK_SECONDS, **query)
        except UnreachableError:
            return None
        finally:
            client.close()
        if reply.status in DENIED:
            forget_key(self.config, self.folder)
            raise APIKeyVerificationError(
                f"The hosted API at {self.config.base_url} refuses the credentials ({reply.note}). Check the "
                f"LUCIDIC_API_KEY and LUCIDIC_AGENT_ID variables, or the arguments lucidic_api_key and agent_id."
            )
        return reply


def forget_key(config: HostedConfig, folder: Path) -> None:
    """Forget that a key is good, so that the next explicit call asks about it."""
    with contextlib.suppress(OSError):
        _mark(config, folder).unlink(missing_ok=True)
    _unanswered.clear()


def _mark(config: HostedConfig, folder: Path) -> Path:
    credentials = f"{config.api_key}\n{config.agent_id}".encode()
    return folder / f"{config.name}-{hashlib.blake2s(credentials, digest_size=16).hexdigest()}.good"
