"""Where OTLP goes, from the standard variables.

https://opentelemetry.io/docs/specs/otel/protocol/exporter/ ; times are in seconds, as OpenTelemetry for Python
reads them.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from lucidic.errors import ConfigurationError


TRACES_PATH: Final = "v1/traces"
_MLFLOW: Final = "x-mlflow-experiment-id"
_VARIABLE: Final = "OTEL_EXPORTER_OTLP_"


@dataclass(frozen=True, kw_only=True, slots=True)
class OTLPConfig:
    """How to reach an OTLP/HTTP endpoint."""

    endpoint: str
    """The full address, path included."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 10.0
    """Seconds for one request."""
    gzip: bool = True
    certificate: str | None = None
    """File of the certificates that are trusted, instead of the system's."""
    client_certificate: str | None = None
    client_key: str | None = None
    local_roots: bool = False
    """Whether a span whose parent is in a process without sessions is sent as a root."""

    @property
    def name(self) -> str:
        """A name for files that is the same wherever this endpoint is meant, whatever the credentials are."""
        host = re.sub(r"[^A-Za-z0-9.-]", "_", urlsplit(self.endpoint).netloc.rpartition("@")[2])
        return f"otlp-{host}-{hashlib.blake2s(self.endpoint.encode(), digest_size=4).hexdigest()}"


def otlp_config(
    endpoint: str | None = None,
    headers: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> OTLPConfig | None:
    """Read the endpoint's configuration; None if no endpoint is given anywhere.

    ``endpoint``, then ``LUCIDIC_OTLP_ENDPOINT``, then ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` (used as it is), then
    ``OTEL_EXPORTER_OTLP_ENDPOINT``. To all but the third ``/v1/traces`` is added if it is missing. Headers, timeout,
    compression and certificates come from the other standard variables, a ``…_TRACES_…`` one first.
    ``LUCIDIC_OTLP_LOCAL_ROOTS`` is false by default, and true for MLflow, which its header shows.

    Raises:
        ConfigurationError: The endpoint is no http address, or a variable holds what cannot be used.
    """
    environment = os.environ if environ is None else environ

    def standard(what: str) -> str:
        return environment.get(f"{_VARIABLE}TRACES_{what}") or environment.get(f"{_VARIABLE}{what}") or ""

    base = endpoint or environment.get("LUCIDIC_OTLP_ENDPOINT")
    exact = "" if base else environment.get(f"{_VARIABLE}TRACES_ENDPOINT", "")
    address = exact or _with_path(base or environment.get(f"{_VARIABLE}ENDPOINT", ""))
    if not address:
        return None
    if urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).hostname:
        raise ConfigurationError(
            f"The OTLP endpoint {address!r} is no http address. Give one such as 'http://localhost:4318'."
        )
    sent = {**_parse_headers(standard("HEADERS")), **(headers or {})}
    return OTLPConfig(
        endpoint=address,
        headers=sent,
        timeout=_seconds(standard("TIMEOUT")),
        gzip=_compression(standard("COMPRESSION"), address),
        certificate=standard("CERTIFICATE") or None,
        client_certificate=standard("CLIENT_CERTIFICATE") or None,
        client_key=standard("CLIENT_KEY") or None,
        local_roots=_local_roots(environment.get("LUCIDIC_OTLP_LOCAL_ROOTS", ""), sent),
    )


def _local_roots(text: str, headers: Mapping[str, str]) -> bool:
    word = text.strip().lower()
    if word not in ("", "true", "false"):
        raise ConfigurationError(f"LUCIDIC_OTLP_LOCAL_ROOTS is {text!r}. It can be 'true' or 'false'.")
    # MLflow shows a trace without a root as running for ever.
    return word == "true" or (not word and _MLFLOW in {name.lower() for name in headers})


def _with_path(base: str) -> str:
    if not base or base.rstrip("/").endswith(f"/{TRACES_PATH}"):
        return base
    return f"{base.rstrip('/')}/{TRACES_PATH}"


def _parse_headers(text: str) -> dict[str, str]:
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise ConfigurationError(
                f"{_VARIABLE}HEADERS holds {part.partition('=')[0]!r}, which is no header. Write 'name=value,name=value'."
            )
        found[unquote(key.strip()).lower()] = unquote(value.strip())
    return found


def _seconds(text: str) -> float:
    try:
        seconds = float(text or 10.0)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 3600:
        raise ConfigurationError(f"{_VARIABLE}TIMEOUT is {text!r}. It must be seconds, for example 10.")
    return seconds


def _compression(text: str, address: str) -> bool:
    if text.lower() not in ("", "gzip", "none"):
        raise ConfigurationError(f"{_VARIABLE}COMPRESSION is {text!r}. It can be 'gzip' or 'none'.")
    # Within one machine there is nothing to save by it.
    return text.lower() == "gzip" or (not text and not _is_loopback(urlsplit(address).hostname or ""))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
