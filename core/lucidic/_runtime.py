"""What a process has once: settings, exporter, provider, lifecycle manager. Built at the first need."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.trace import ProxyTracerProvider, Tracer

from lucidic._config import Settings
from lucidic._guard import guarded, logger
from lucidic._lifecycle import LifecycleManager
from lucidic._open_records import OpenRecords
from lucidic._own_provider import OwnProvider
from lucidic._providers import Instrumentation, instrument
from lucidic._spans._correlation import SessionFrom
from lucidic._spans._ids import with_chosen_ids
from lucidic._spans._live import note_limit
from lucidic._spans._privacy import Privacy
from lucidic._spans._processor import StampProcessor
from lucidic._spans._tracer import AdapterTracer
from lucidic.errors import ConfigurationError


if TYPE_CHECKING:
    from lucidic._export import Exporter, Sink

_MANY_ATTRIBUTES = 10_000
"""OpenInference's own provider has the same limit."""
_OTEL_DEFAULT_LIMIT = 128
"""Drops the oldest attributes, session ids first."""


class Runtime:
    """The one pipeline of this process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._privacy: Privacy | None = None
        self._exporter: Exporter | None = None
        self._lock = threading.RLock()
        self._provider: OwnProvider | None = None
        self._adopted: dict[int, Any] = {}
        self._exit_registered = False
        self.instrumentations: dict[str, Instrumentation] = {}
        """What ``providers=[…]`` and ``threading`` have switched on, until ``shutdown()``."""
        self.records = OpenRecords()
        self.lifecycle = LifecycleManager(lambda: self.exporter, privacy=lambda: self.privacy)
        self.lifecycle.before_end = self.records.close_session
        self.processor = StampProcessor(
            self,
            privacy=lambda: self.privacy,
            init_ids=self.lifecycle.init_ids,
            session_from=lambda: self.settings.session_from,
            on_session=self._on_session,
        )

    @property
    def privacy(self) -> Privacy:
        """The process's rules for content."""
        if self._privacy is None:
            self._privacy = Privacy(
                mask=self.settings.masking_function, capture_content=self.settings.capture_content
            )
        return self._privacy

    @property
    def exporter(self) -> Exporter:
        """The one exporter; built at the first record, because it imports the sinks."""
        if self._exporter is None:
            with self._lock:
                if self._exporter is None:
                    self._exporter = _make_exporter(self.settings)
                    self._register_exit()
        return self._exporter

    @property
    def has_exporter(self) -> bool:
        """True once something was recorded in this process."""
        return self._exporter is not None

    def span_started(self, span: Any) -> None:
        """Pass a started span on to the exporter."""
        self.exporter.span_started(span)

    def span_ended(self, span: Any) -> None:
        """Pass a finished span on to the exporter."""
        self.exporter.span_ended(span)

    def configure(self, settings: Settings) -> None:
        """Take new settings; the home of an exporter that has begun stays."""
        with self._lock:
            if self._exporter is not None and settings.home != self.settings.home:
                self._exporter.shutdown(self.settings.exit_budget)
                self._exporter = None
            if self._exporter is not None and settings.sinks != self.settings.sinks:
                for sink in _configured_sinks(settings):
                    self._exporter.add_sink(sink)
            self.settings = settings
            self._privacy = None
            if not settings.threading and (carrying := self.instrumentations.pop("threading", None)):
                carrying.remove()

    def provider(self, given: Any = None) -> Any:
        """Return the provider for spans of ours, with our processor added to it.

        The one given, else the user's global one, else our own, which becomes the global one: plain
        OpenTelemetry spans are part of the session too.
        """
        if given is None:
            existing = trace.get_tracer_provider()
            given = existing if hasattr(existing, "add_span_processor") else self._own(existing)
        # Logfire's is a proxy, which each configure() gives another provider, without our processor.
        behind = getattr(given, "provider", given)
        if id(behind) not in self._adopted and hasattr(given, "add_span_processor"):
            with self._lock:
                if id(behind) not in self._adopted:
                    given.add_span_processor(self.processor)
                    note_limit(behind)
                    self._adopted[id(behind)] = behind
                    self._carry_through_threads()  # here, because a block alone needs no init()
        return given

    def _own(self, existing: object) -> OwnProvider:
        with self._lock:
            if self._provider is None:
                self._provider = OwnProvider(span_limits=_limits(), shutdown_on_exit=False)
                if isinstance(existing, ProxyTracerProvider):
                    trace.set_tracer_provider(self._provider)
                    _let_the_user_set_one_later()
            return self._provider

    def tracer(
        self,
        scope: str,
        version: str,
        *,
        provider: Any = None,
        handler_id: str | None = None,
        session_from: SessionFrom | None = None,
        privacy: Privacy | None = None,
    ) -> AdapterTracer:
        """Make the tracer of an adapter; it follows ``shutdown()`` and a new ``init()``."""
        # Before the first span: OpenInference's own block may hand a thread its context by then.
        self._carry_through_threads()
        last: tuple[tuple[Any, ...], Any, tuple[Tracer, bool]] | None = None

        def current_tracer() -> tuple[Tracer, bool]:
            """Return the tracer, and whether only ours decide what its spans are given at their start."""
            nonlocal last
            asked = trace.get_tracer_provider() if provider is None else provider
            # Logfire's is a proxy, which each configure() gives another provider, without our processor.
            behind = getattr(asked, "provider", asked)
            here = asked, behind, _runtime
            if last is not None and last[0] == here:
                return last[2]
            target = runtime().provider(provider)
            if last is not None and last[1] is target:
                made = last[2]
            else:
                is_ours = isinstance(target, OwnProvider)
                tracer = (target.our_tracer if is_ours else target.get_tracer)(scope, version)
                made = with_chosen_ids(_roomy(tracer)), is_ours
            last = (asked, behind, _runtime), target, made
            return made

        return AdapterTracer(
            current_tracer,
            privacy=(lambda: privacy) if privacy is not None else (lambda: runtime().privacy),
            init_ids=_init_ids,
            session_from=(lambda: session_from)
            if session_from
            else (lambda: runtime().settings.session_from),
            handler_id=handler_id,
        )

    def use_exporter(self, exporter: Exporter) -> None:
        """Record into ``exporter`` instead of one made from the settings (for tests)."""
        self._exporter = exporter

    def shutdown(self, timeout: float) -> bool:
        """End what ends with the process, deliver, undo instrumentations; return whether all was delivered."""
        delivered = True
        with guarded("shutdown"):
            self.lifecycle.finish(self.processor.open_spans(), capture_uncaught=False)
            if self._exporter is not None:
                delivered = self._exporter.shutdown(timeout)
                if (store := getattr(self._exporter, "store", None)) is not None:
                    store.close()
        self.close()
        return delivered

    def close(self) -> None:
        """Leave the providers that this runtime was added to."""
        self.processor.enabled = False
        for provider in self._adopted.values():
            remove_processor(provider, self.processor)
        self._adopted.clear()
        if self._exit_registered:
            from lucidic._export._exit import not_at_exit

            not_at_exit(self.finish)
        for instrumentation in self.instrumentations.values():
            instrumentation.remove()
        self.instrumentations.clear()

    def finish(self) -> None:
        """End what the process leaves open, and deliver within the exit budget."""
        with guarded("exit"):
            self.lifecycle.finish(
                self.processor.open_spans(), capture_uncaught=self.settings.capture_uncaught
            )
            if self._exporter is not None:
                self._exporter.shutdown(self.settings.exit_budget)

    def terminate(self) -> None:
        """At SIGTERM: the same in at most a second, and without what could wait."""
        self.lifecycle.finish(self.processor.open_spans())
        if self._exporter is not None:
            self._exporter.wind_up(min(1.0, self.settings.exit_budget))

    def use_provider(self, name: str) -> None:
        """Instrument a provider for as long as this runtime lives; harmless when repeated."""
        with self._lock:
            if name not in self.instrumentations:
                self.instrumentations[name] = instrument(name)

    def _carry_through_threads(self) -> None:
        if self.settings.threading:
            self.use_provider("threading")

    def forked(self) -> None:
        """Begin anew in a forked child; what the parent has open is the parent's to end."""
        self._lock = threading.RLock()
        self.lifecycle.forked()
        self.processor.forked()

    def _register_exit(self) -> None:
        if not self._exit_registered:
            self._exit_registered = True
            from lucidic._export._exit import at_exit, on_sigterm

            at_exit(self.finish)
            on_sigterm(self.terminate)

    def _on_session(self, session_id: str, source: str) -> None:
        self.lifecycle.seen(session_id, source, auto_end=self.settings.auto_end)


def _roomy(tracer: Tracer) -> Tracer:
    """Raise OpenTelemetry's default attribute limit for our own tracer on somebody else's provider.

    A limit that the user chose stays. OpenTelemetry has no public way (SDK 1.45); where the private
    field has moved, the essentials are set last and survive, and long histories lose their oldest part.
    """
    limits = getattr(tracer, "_span_limits", None)
    if isinstance(limits, SpanLimits) and limits.max_span_attributes == _OTEL_DEFAULT_LIMIT:
        wider = copy.copy(limits)
        wider.max_span_attributes = _limits().max_span_attributes
        tracer._span_limits = wider  # type: ignore[attr-defined]  # looked up above
    return tracer


def _let_the_user_set_one_later() -> None:
    """Keep the global place free: a provider that the user sets after us takes it, without a warning.

    OpenTelemetry lets it be set once, and has no public way to say "for want of a better one" (API
    1.45). Where the private flag has moved, the user's later call is refused, as it is among peers.
    """
    once = getattr(trace, "_TRACER_PROVIDER_SET_ONCE", None)
    if getattr(once, "_done", None) is True:
        once._done = False  # type: ignore[union-attr]  # checked on the line above


def remove_processor(provider: Any, processor: StampProcessor) -> None:
    """Take a processor out of a provider; OpenTelemetry has no public way (SDK 1.45).

    Where the private fields have moved, the disabled processor stays and does nothing.
    """
    active = getattr(provider, "_active_span_processor", None)
    registered = getattr(active, "_span_processors", None)
    if active is not None and isinstance(registered, tuple):
        active._span_processors = tuple(item for item in registered if item is not processor)


def _limits() -> SpanLimits:
    asked = os.environ.get("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT") or os.environ.get("OTEL_ATTRIBUTE_COUNT_LIMIT")
    return SpanLimits() if asked else SpanLimits(max_span_attributes=_MANY_ATTRIBUTES)


def _make_exporter(settings: Settings) -> Exporter:
    from lucidic._export import Exporter, ExportOptions

    options = ExportOptions(
        exit_budget=settings.exit_budget,
        fsync_window=0.0 if settings.fsync == float("inf") else settings.fsync,
        fsync_always=settings.fsync == 0,
    )
    return Exporter(settings.home, options=options, sinks=_configured_sinks(settings))


def _configured_sinks(settings: Settings) -> list[Sink]:
    """Make the sinks; one that cannot be made costs a log line, the others and the store go on."""
    from lucidic.sinks import CONFIGURED

    sinks = []
    for make in CONFIGURED:
        try:
            if (sink := make(settings)) is not None:
                sinks.append(sink)
        except ConfigurationError as error:
            logger.warning("lucidic: one sink is left out; spans are kept in the local store: %s", error)
    return sinks


def _init_ids() -> tuple[str, ...]:
    return runtime().lifecycle.init_ids()


_runtime: Runtime | None = None
_runtime_lock = threading.Lock()
_factory: Callable[[], Runtime] = lambda: Runtime(Settings.load())  # noqa: E731


def _forked() -> None:
    global _runtime_lock
    _runtime_lock = threading.Lock()
    if _runtime is not None:
        _runtime.forked()


os.register_at_fork(after_in_child=_forked)


def runtime() -> Runtime:
    """Return this process's runtime; the first call reads the environment."""
    global _runtime
    if _runtime is None:
        with _runtime_lock:
            if _runtime is None:
                _runtime = _factory()
    return _runtime


def replace_runtime(new: Runtime | None) -> Runtime | None:
    """Put another runtime in place and return the old one (tests, and a new start after ``shutdown``)."""
    global _runtime
    old, _runtime = _runtime, new
    return old
