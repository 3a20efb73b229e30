"""Where spans go besides the local store.

Sinks come from the environment (``LUCIDIC_OTLP_ENDPOINT`` or the standard ``OTEL_EXPORTER_OTLP_*``
variables, ``LUCIDIC_JSONL``, ``LUCIDIC_API_KEY`` with ``LUCIDIC_AGENT_ID``), or from code::

    lai.add_sink(sinks.otlp("http://localhost:6006", headers={"authorization": "Bearer …"}))
    lai.add_sink(sinks.JSONLinesSink("traces.jsonl"))

Each sink has a cursor of its own: a slow or refused one holds up neither the program nor another sink.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lucidic._export import Sink
from lucidic.errors import ConfigurationError


if TYPE_CHECKING:
    from lucidic._config import Settings
    from lucidic._export._jsonl import JSONLinesSink
    from lucidic._export._otlp import OTLPSink

__all__ = ["JSONLinesSink", "OTLPSink", "Sink", "otlp"]

_LATE = {"JSONLinesSink": "lucidic._export._jsonl", "OTLPSink": "lucidic._export._otlp"}


def __getattr__(name: str) -> Any:
    # Most programs have the local store only: what the network needs is imported by who uses it.
    if name in _LATE:
        from importlib import import_module

        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def otlp(
    endpoint: str | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    conventions: Sequence[str] | None = None,
    annotations: str | None = None,
) -> OTLPSink:
    """Make a sink for an OTLP/HTTP endpoint: Phoenix, MLflow, Langfuse, a Collector.

    Args:
        endpoint: Base address, for example ``"http://localhost:6006"``; ``/v1/traces`` is added where
            it is missing. Default: the standard OTLP variables.
        headers: Added to those of ``OTEL_EXPORTER_OTLP_HEADERS``.
        conventions: What spans carry there beside OpenInference, such as ``["langfuse"]``; added to what the
            address itself shows. Default ``LUCIDIC_CONVENTIONS``; an empty list adds nothing at all.
        annotations: In whose form scores go there: ``"phoenix"``, ``"mlflow"``, ``"langfuse"``, or ``"spans"`` for
            OpenInference's carrier spans. Default ``LUCIDIC_ANNOTATIONS``, else what the endpoint turns out to be.

    Raises:
        ConfigurationError: No endpoint is given anywhere, it is no http address, or there is no such convention.

    """
    from lucidic._config import Settings, check_annotations, check_conventions

    settings = Settings.load()
    return _otlp(
        endpoint,
        headers,
        settings.conventions if conventions is None else check_conventions(conventions),
        settings.annotations if annotations is None else check_annotations(annotations),
    )


def _otlp(
    endpoint: str | None,
    headers: Mapping[str, str] | None,
    conventions: tuple[str, ...] | None,
    annotations: str | None,
) -> OTLPSink:
    from lucidic._export._conventions import conventions_of
    from lucidic._export._otlp import OTLPSink
    from lucidic._export._otlp_config import otlp_config

    config = otlp_config(endpoint, headers)
    if config is None:
        raise ConfigurationError(
            "No OTLP endpoint: pass one, for example sinks.otlp('http://localhost:4318'), "
            "or set LUCIDIC_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT."
        )
    shown = conventions_of(config.endpoint, config.headers) if conventions != () else ()
    return OTLPSink(config, conventions=_with_gen_ai((*shown, *(conventions or ()))), annotations=annotations)


def _with_gen_ai(conventions: Sequence[str]) -> tuple[str, ...]:
    """Return the conventions, and ``gen_ai`` if OpenInference's own variable asks for it."""
    asked = os.environ.get("OPENINFERENCE_ENABLE_GENAI_SEMCONV", "").strip().lower() == "true"
    return tuple(dict.fromkeys((*conventions, *(("gen_ai",) if asked else ()))))


def _configured_otlp(settings: Settings) -> Sink | None:
    if not settings.otlp_endpoint:
        return None
    given = settings.otlp_endpoint if settings.origins.get("otlp_endpoint") == "argument" else None
    return _otlp(given, None, settings.conventions, settings.annotations)


def _configured_jsonl(settings: Settings) -> Sink | None:
    if settings.jsonl is None:
        return None
    from lucidic._export._jsonl import JSONLinesSink

    return JSONLinesSink(
        Path(settings.jsonl),
        per_session=settings.jsonl_per_session,
        conventions=_with_gen_ai(settings.conventions or ()),
    )


def _configured_hosted(settings: Settings) -> Sink | None:
    if not settings.api_key:
        return None
    from lucidic._export._hosted_sink import hosted_sink

    return hosted_sink(settings)


CONFIGURED: tuple[Callable[[Settings], Sink | None], ...] = (
    _configured_otlp,
    _configured_jsonl,
    _configured_hosted,
)
"""What makes a sink where the settings ask for it; each raises ``ConfigurationError`` for itself."""
