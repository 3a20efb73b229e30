"""A span of an adapter, from its start to its end: every content masked, nothing raised."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterable, Mapping
from typing import Any, Final

from openinference.semconv.trace import SpanAttributes
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Span, SpanContext, Status, StatusCode

from lucidic import _bound
from lucidic._guard import swallow
from lucidic._sdk import put_attributes, raw_attributes
from lucidic._spans import _attributes as keys
from lucidic._spans._correlation import FrameworkID
from lucidic._spans._privacy import Privacy
from lucidic._spans._state import SpanState, is_open


_ESSENTIAL: Final = (
    SpanAttributes.OPENINFERENCE_SPAN_KIND,
    keys.SESSION_SOURCE,
    *keys.SESSION_KEYS,
    SpanAttributes.USER_ID,
    SpanAttributes.METADATA,
    SpanAttributes.TAG_TAGS,
    SpanAttributes.INPUT_VALUE,
    SpanAttributes.OUTPUT_VALUE,
)
_OK: Final = Status(StatusCode.OK)
_smallest_limit = 100
"""How many attributes a span may have before the oldest could be dropped."""


def note_limit(provider: object) -> None:
    """Reckon with a provider's limit of attributes; OpenTelemetry has no public way to ask for it (SDK 1.45)."""
    global _smallest_limit
    limit = getattr(getattr(provider, "_span_limits", None), "max_span_attributes", None)
    if isinstance(limit, int):
        _smallest_limit = min(_smallest_limit, limit)


class LiveSpan:
    """A span that an adapter has started and will end; every method is safe to call at any time."""

    __slots__ = ("_children", "_kept", "_parent", "_privacy", "_set", "_span", "context", "state")

    def __init__(
        self,
        span: Span,
        context: Context,
        privacy: Privacy,
        parent: LiveSpan | None = None,
        state: SpanState | None = None,
        started_with: int = 0,
    ) -> None:
        self._span = span
        self._privacy = privacy
        self._parent = parent
        self._children: dict[int, LiveSpan] = {}
        self._set = started_with
        """How many attributes the span was given."""
        self._kept: dict[str, Any] | None = None
        self.context = context
        """An OpenTelemetry context in which this span is current, for the user code below it."""
        self.state = state
        """``None`` for a span that is not ours to record."""
        if parent is not None and state is not None:
            parent._children[id(self)] = self

    @property
    def span(self) -> Span:
        """The OpenTelemetry span."""
        return self._span

    @property
    def session_id(self) -> str | None:
        """The session that the span was stamped with."""
        return None if self.state is None else self.state.session_id

    @property
    def is_recording(self) -> bool:
        """False once ended, and for spans that are sampled out or suppressed: spare the translation."""
        return self._span.is_recording()

    def set(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes, masked; ``None`` values are left out."""
        if attributes and self._span.is_recording():
            self._put(self._clean(attributes))

    def _put(self, clean: dict[str, Any]) -> None:
        if clean:
            self._set += len(clean)
            if self._set >= _smallest_limit:
                self._keep(clean)
            put_attributes(self._span, clean)

    def _keep(self, clean: Mapping[str, Any]) -> None:
        """Keep the ids, kind and root I/O, to set them again at the end.

        OpenTelemetry drops the oldest attribute at its limit, which no span has reached before this is called.
        """
        if self._kept is None and isinstance(self._span, ReadableSpan):
            given = raw_attributes(self._span)
            self._kept = {key: given[key] for key in _ESSENTIAL if key in given}
        if self._kept is not None:
            self._kept.update((key, clean[key]) for key in _ESSENTIAL if key in clean)

    def rename(self, name: str) -> None:
        """Change the span's name."""
        self._span.update_name(name)

    def event(
        self, name: str, attributes: Mapping[str, Any] | None = None, *, time_ns: int | None = None
    ) -> None:
        """Add an event, its attributes masked."""
        if self._span.is_recording():
            at = time.time_ns() if time_ns is None else time_ns
            given = attributes or {}
            if self._privacy.active:
                given = self._privacy.attributes(given)
                self._note_masked([(name, at)])
            self._span.add_event(name, dict(given), at)

    def link(self, context: SpanContext, attributes: Mapping[str, Any] | None = None) -> None:
        """Link another span."""
        if self._span.is_recording():
            self._span.add_link(context, attributes)

    def exception(self, error: BaseException) -> None:
        """Record an exception event (OpenTelemetry's attribute names), masked; sets no status."""
        if not self._span.is_recording():
            return
        kind = type(error)
        name = (
            kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        )
        self.event(
            "exception",
            {
                "exception.type": name,
                "exception.message": _text_of(error),
                "exception.stacktrace": _stacktrace_of(error),
                "exception.escaped": "False",
            },
        )

    def adopt_session(self, below: LiveSpan) -> None:
        """Take over the session that a span below learnt after this one had started without any.

        Some frameworks make an id only with a run's first request. A span that has a session keeps it.
        """
        mine, theirs = self.state, below.state
        if mine is None or theirs is None or mine.session_id is not None or mine.trace is not theirs.trace:
            return
        given = below.span.attributes if isinstance(below.span, ReadableSpan) else None
        self._take_session(mine, theirs.session_id, (given or {}).get(keys.SESSION_SOURCE))

    def name_session(self, found: FrameworkID) -> None:
        """Take the session of a framework's id after all, where the stronger one that was awaited never came."""
        mine = self.state
        if mine is not None and mine.session_id is None and mine.trace.session_id in (None, found.value):
            mine.trace.session_id = found.value
            self._take_session(mine, found.value, found.source)

    def _take_session(self, mine: SpanState, session_id: str | None, source: Any) -> None:
        mine.session_id = session_id
        if session_id is None or not self._span.is_recording():
            return
        self.set({keys.SESSION_SOURCE: source, **dict.fromkeys(keys.SESSION_KEYS, session_id)})
        self.context = Context({**self.context, _bound.SESSION_KEY: session_id})

    def end(
        self,
        *,
        error: BaseException | str | None = None,
        ok: bool = True,
        attributes: Mapping[str, Any] | None = None,
        end_time: int | None = None,
    ) -> None:
        """End the span, and what is still open below it; a second call does nothing.

        Args:
            error: What failed: an exception (recorded as an event) or a message; status ERROR.
            ok: Without an error, set status OK (default), else leave it UNSET.
            attributes: Last attributes.
            end_time: Nanoseconds since the epoch; default now.

        """
        if not is_open(self._span):
            self._forget()
            return
        try:
            if self._children:
                self._end_children(end_time)
            if attributes:
                self._put(self._clean(attributes))
            if isinstance(error, BaseException):
                self.exception(error)
                self._fail(summary_of(error))
            elif error is not None:
                self._fail(error)
            elif ok:
                self._span.set_status(_OK)
            if self._kept is not None:
                self._span.set_attributes(self._kept)
        except Exception as failure:  # noqa: BLE001  # the guard's: the span ends all the same
            swallow("span end", failure)
        self._span.end(end_time)
        self._forget()

    def _fail(self, text: str) -> None:
        self._note_masked(["status"])
        self._span.set_status(Status(StatusCode.ERROR, self._privacy.text(text)))

    def _note_masked(self, names: Iterable[object]) -> None:
        if self.state is not None:
            self.state.masked.update(names)

    def _forget(self) -> None:
        if self._parent is not None:
            self._parent._children.pop(id(self), None)
            self._parent = None

    def _end_children(self, end_time: int | None) -> None:
        for child in list(self._children.values()):
            child.end(ok=False, attributes={keys.INCOMPLETE: True}, end_time=end_time)

    def _clean(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        given = without_none(attributes)
        if not self._privacy.active:
            return given
        self._note_masked(given)
        return self._privacy.attributes(given)


def without_none(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what has no value."""
    if type(attributes) is dict and None not in attributes.values():
        return attributes
    return {key: value for key, value in attributes.items() if value is not None}


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # a foreign __str__
        return f"<{type(error).__name__}: no text>"


def summary_of(error: BaseException) -> str:
    """Return an error in one line: its type, and its text if it has one."""
    text = _text_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _stacktrace_of(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001  # a foreign __str__ somewhere in the chain
        return f"<{type(error).__name__}: no stack trace>"
