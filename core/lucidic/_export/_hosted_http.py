"""Requests to the hosted API, and what its answers mean for delivery."""

from __future__ import annotations

import http
import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from lucidic._export._hosted_config import HostedConfig
from lucidic._export._sink import Answer


if TYPE_CHECKING:
    import httpx


CONNECT_SECONDS: Final = 2.0
_TEXT_LIMIT: Final = 200
_AGAIN: Final = frozenset(
    {http.HTTPStatus.REQUEST_TIMEOUT, http.HTTPStatus.TOO_EARLY, http.HTTPStatus.TOO_MANY_REQUESTS}
)
_REFUSED: Final = frozenset(
    {
        http.HTTPStatus.BAD_REQUEST,
        http.HTTPStatus.CONFLICT,
        http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        http.HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
DENIED: Final = frozenset({http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN})
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)

Meaning = Literal["ok", "again", "refused", "unknown", "misconfigured"]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the hosted API."""

    status: int
    content: Mapping[str, Any] | None
    """The JSON object; empty for an empty answer, None for an answer that is anything else."""
    text: str
    """What it says, shortened."""
    retry_after: float | None = None
    """Seconds."""

    @property
    def meaning(self) -> Meaning:
        """Say what to do: ``again`` later, ``refused`` for good, ``unknown`` id, ``misconfigured`` by somebody.

        401, 403 and 402 (no credit) are no fault of the request, so nothing is given up for them.
        """
        if 200 <= self.status < 300:
            # A captive portal answers so, too; it knows nothing of our spans.
            return "misconfigured" if self.content is None else "ok"
        if self.status in _AGAIN or self.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            return "again"
        if self.status in _REFUSED:
            return "refused"
        return "unknown" if self.status == http.HTTPStatus.NOT_FOUND else "misconfigured"

    @property
    def note(self) -> str:
        """The answer in one line."""
        return f"{self.status} {self.text}".strip()


class UnreachableError(Exception):
    """Raised when a request got no answer."""


class RefusedError(Exception):
    """Raised when the backend refuses an item for good."""


class StoppedError(Exception):
    """Raised when an item and all that follow have to wait."""

    def __init__(self, answer: Answer, note: str, retry_after: float | None = None) -> None:
        self.answer: Answer = answer
        self.note = note
        self.retry_after = retry_after
        super().__init__(note)


class HostedClient:
    """Talk to the hosted API over connections of its own. Creating it connects to nothing.

    Not thread-safe: it belongs to the one thread that uses it. A forked child opens connections of its own.

    Args:
        config: The backend and the credentials; may be replaced between requests, also by another thread.
        transport: Takes the requests instead of the network (for tests).
    """

    def __init__(self, config: HostedConfig, *, transport: httpx.BaseTransport | None = None) -> None:
        self.config = config
        self._transport = transport
        self._client: httpx.Client | None = None
        self._pid = 0

    def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None and self._pid == os.getpid():
            client.close()

    def call(self, method: str, path: str, until: float, **fields: Any) -> Reply:
        """Send a request under the base address; a body gets ``current_time``.

        Args:
            method: ``POST`` or ``PUT`` with a body of the fields; ``GET`` with a query of them.
            path: What follows the base address and a slash.
            until: The monotonic time by which the answer has to be there.
            fields: The fields.

        Raises:
            UnreachableError: There was no answer in time.
        """
        headers = {
            "authorization": f"Api-Key {self.config.api_key}",
            "x-agent-id": self.config.agent_id,
            "content-type": "application/json",
        }
        address = f"{self.config.base_url}/{path}"
        if method == "GET":
            return self._send(method, address, headers, until, params=fields)
        body = {**fields, "current_time": timestamp(time.time_ns())}
        return self._send(method, address, headers, until, content=compact(body))

    def upload(self, address: str, content: bytes, until: float) -> Reply:
        """Put gzipped JSON to an address that the API gave; the key does not go there.

        Raises:
            UnreachableError: There was no answer in time, or the address is none.
        """
        headers = {"content-type": "application/json", "content-encoding": "gzip"}
        return self._send("PUT", address, headers, until, content=content)

    def _send(self, method: str, address: str, headers: dict[str, str], until: float, **more: Any) -> Reply:
        import httpx

        left = max(0.1, min(self.config.timeout, until - time.monotonic()))
        limits = httpx.Timeout(left, connect=min(CONNECT_SECONDS, left))
        headers["user-agent"] = "lucidic-adapters"
        try:
            answer = self._connected().request(method, address, headers=headers, timeout=limits, **more)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            # A connection that broke in the middle may leave the pool in any state: the next request begins anew.
            self.close()
            raise UnreachableError(f"{type(error).__name__}: {error}") from error
        return _read(answer)

    def _connected(self) -> httpx.Client:
        if self._client is None or self._pid != os.getpid():
            import httpx

            self._pid = os.getpid()
            self._client = httpx.Client(transport=self._transport, follow_redirects=False)
        return self._client


def _read(answer: httpx.Response) -> Reply:
    content: Mapping[str, Any] | None = None
    text = " ".join(answer.text[:_TEXT_LIMIT].split())
    try:
        found = answer.json() if answer.content else {}
        content = found if isinstance(found, dict) else None
    except ValueError:
        text = "" if "html" in answer.headers.get("content-type", "") else text
    if content and not answer.is_success:
        text = str(content.get("detail") or content.get("error") or text)[:_TEXT_LIMIT]
    return Reply(answer.status_code, content, text, _retry_after(answer.headers.get("retry-after")))


def _retry_after(given: str | None) -> float | None:
    if given is None:
        return None
    try:
        seconds = (
            float(given)
            if given.strip().isdigit()
            else parsedate_to_datetime(given).timestamp() - time.time()
        )
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, seconds)


def compact(content: object) -> bytes:
    """Encode as compact UTF-8 JSON; what neither can hold (infinite numbers, lone surrogates) becomes text."""
    try:
        text = _ENCODER.encode(content)
    except ValueError:
        text = _ENCODER.encode(_finite(content))
    return text.encode("utf-8", "replace")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def timestamp(time_ns: int) -> str:
    """Return a time in nanoseconds since the epoch as ISO 8601 in UTC, with microseconds."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    whole = datetime.fromtimestamp(seconds, tz=timezone.utc)
    return whole.replace(microsecond=rest // 1000).isoformat(timespec="microseconds")
