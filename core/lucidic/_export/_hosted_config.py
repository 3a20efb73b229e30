"""Where the hosted API is and who we are there, from the variables that the vendor's client reads (3.x)."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from lucidic.errors import ConfigurationError


REGIONS: Final[Mapping[str, str]] = {
    "us": "https://backend.lucidic.ai/api",
    "india": "https://in.backend.lucidic.ai/api",
}
FOLDER: Final = "hosted"
"""Below the home: which keys are good, and the ids that the backend gave to sessions."""
DEBUG_URL: Final = "http://localhost:8000/api"
_BLOB_THRESHOLD: Final = 65_536
_SMALLEST_THRESHOLD: Final = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class HostedConfig:
    """How to reach the hosted API."""

    api_key: str = field(repr=False)
    agent_id: str
    base_url: str = REGIONS["us"]
    """Without a slash at its end."""
    timeout: float = 30.0
    """Seconds for one request."""
    blob_threshold: int = _BLOB_THRESHOLD
    """Bytes of a payload's compact JSON beyond which it is uploaded."""

    @property
    def name(self) -> str:
        """A name for files that is the same for this backend and agent whatever the key is."""
        host = re.sub(r"[^A-Za-z0-9.-]", "_", urlsplit(self.base_url).netloc.rpartition("@")[2])
        target = f"{self.base_url}\n{self.agent_id}".encode()
        return f"hosted-{host}-{hashlib.blake2s(target, digest_size=4).hexdigest()}"


def hosted_config(api_key: str, agent_id: str, environ: Mapping[str, str] | None = None) -> HostedConfig:
    """Read the rest of the configuration from the environment.

    The address is ``http://localhost:8000/api`` with ``LUCIDIC_DEBUG=true``, else ``LUCIDIC_BASE_URL``, else that of
    ``LUCIDIC_REGION`` (``us`` or ``india``; default ``us``). ``LUCIDIC_TIMEOUT`` is in seconds (default 30),
    ``LUCIDIC_BLOB_THRESHOLD`` in bytes (default 65536, at least 1024).

    Raises:
        ConfigurationError: A variable holds what cannot be used.
    """
    env = os.environ if environ is None else environ
    return HostedConfig(
        api_key=api_key,
        agent_id=agent_id,
        base_url=_base_url(env),
        timeout=_number(env, "LUCIDIC_TIMEOUT", 30.0, smallest=0.001),
        blob_threshold=int(
            _number(env, "LUCIDIC_BLOB_THRESHOLD", _BLOB_THRESHOLD, smallest=_SMALLEST_THRESHOLD)
        ),
    )


def _base_url(env: Mapping[str, str]) -> str:
    if env.get("LUCIDIC_DEBUG", "").strip().lower() == "true":
        return DEBUG_URL
    if given := env.get("LUCIDIC_BASE_URL", "").strip():
        parts = urlsplit(given)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(
                f"LUCIDIC_BASE_URL is {given!r}; it must be an http address such as {REGIONS['us']!r}."
            )
        return given.rstrip("/")
    region = env.get("LUCIDIC_REGION", "").strip().lower() or "us"
    if region not in REGIONS:
        raise ConfigurationError(f"LUCIDIC_REGION is {region!r}; it must be one of {', '.join(REGIONS)}.")
    return REGIONS[region]


def _number(env: Mapping[str, str], variable: str, default: float, *, smallest: float) -> float:
    raw = env.get(variable, "").strip()
    if not raw:
        return default
    try:
        number = float(raw)
    except ValueError:
        number = -1.0
    if not smallest <= number < float("inf"):
        raise ConfigurationError(f"{variable} is {raw!r}; it must be a number, at least {smallest:g}.")
    return number
