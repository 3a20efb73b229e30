"""The provider that we make where the user has none, and give up as soon as the user has one."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import ProxyTracer, Tracer
from typing_extensions import override


class OwnProvider(TracerProvider):
    """A provider that we made: nobody's processor comes before ours, and its sampler looks at no attributes.

    Tracers that others get here, at the top of a module for example, go over to the provider that the user sets
    later, as they do where OpenTelemetry has none yet.
    """

    @override
    def get_tracer(self, *args: Any, **kwargs: Any) -> Tracer:
        made = super().get_tracer(*args, **kwargs)
        return _Following(made, args, kwargs) if _CAN_FOLLOW else made

    def our_tracer(self, scope: str, version: str) -> Tracer:
        """Return a tracer that stays: our adapters look for the provider of the day themselves."""
        return super().get_tracer(scope, version)


class _Following(ProxyTracer):
    """A tracer of the global provider, whichever that is when a span starts."""

    def __init__(self, made: Tracer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._made = self._latest = made
        self._asked = args, kwargs
        self._provider: object = None

    @property
    @override
    def _tracer(self) -> Tracer:
        provider = trace.get_tracer_provider()
        if provider is not self._provider:
            args, kwargs = self._asked
            theirs = hasattr(provider, "add_span_processor") and not isinstance(provider, OwnProvider)
            self._latest = provider.get_tracer(*args, **kwargs) if theirs else self._made
            self._provider = provider
        return self._latest

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_made" not in vars(self):
            raise AttributeError(name)
        return getattr(self._tracer, name)


_CAN_FOLLOW: Final = isinstance(vars(ProxyTracer).get("_tracer"), property)
"""What OpenTelemetry's proxy asks for its tracer is not public (API 1.45)."""
