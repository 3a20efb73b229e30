"""The span that PydanticAI is given: it keeps what the SDK says, and says it in OpenInference at its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext, Status, StatusCode
from opentelemetry.util.types import Attributes, AttributeValue
from pydantic_ai import exceptions
from pydantic_ai.messages import ModelResponse
from typing_extensions import override

from lucidic.adapterkit import CANCELLED, STOPPED_EARLY, LiveSpan, guarded
from lucidic_adapters.pydantic_ai._runs import Request, Run


_SDK_PREFIXES: Final = ("gen_ai.", "pydantic_ai.", "logfire.", "server.", "image.")
_SDK_KEYS: Final = frozenset((
    "agent_name", "all_messages_events", "embedding_settings", "embeddings", "events", "final_result", "image_count",
    "image_generation_settings", "input_image_count", "input_type", "inputs", "inputs_count", "metadata", "model_name",
    "model_request_parameters", "operation.cost", "prompt", "prompt_length", "tool_arguments", "tool_response", "tools",
))  # fmt: skip
"""Keys that the SDK sets; anything else was set by the user's code and is kept as it is."""
_DEFERRALS: Final = (exceptions.CallDeferred, exceptions.ApprovalRequired)
_SKIPPED: Final = getattr(exceptions, "SkipToolExecution", _DEFERRALS)
"""Raised by hooks of later releases in a tool's place, with its result."""

Describe = Callable[["FrameworkSpan"], Mapping[str, Any]]


class FrameworkSpan(trace.Span):
    """A span of the kit behind OpenTelemetry's interface."""

    def __init__(
        self,
        live: LiveSpan,
        kind: str,
        native: dict[str, Any],
        describe: Describe,
        *,
        run: Run | None,
        binary: bool,
    ) -> None:
        self.live = live
        self.kind = kind
        self.native = native
        """What the SDK set, under its own keys."""
        self.run = run
        self.include_binary = binary
        self.request: Request | None = None
        self.response: ModelResponse | None = None
        self._describe = describe
        self._error: BaseException | str | None = None
        self._outcome: dict[str, Any] = {}
        self._deferred = False

    def __getattr__(self, name: str) -> Any:
        # What readers of SDK spans look for (name, start_time, resource, …); only called for what is not here.
        return getattr(self.live.span, name)

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes so far, the SDK's own among them: it reads them back."""
        return {**(getattr(self.live.span, "attributes", None) or {}), **self.native}

    @override
    def get_span_context(self) -> SpanContext:
        return self.live.span.get_span_context()

    @override
    def is_recording(self) -> bool:
        return self.live.is_recording

    @override
    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        for key, value in attributes.items():
            self.set_attribute(key, value)

    @override
    def set_attribute(self, key: str, value: AttributeValue) -> None:
        if key in _SDK_KEYS or key.startswith(_SDK_PREFIXES):
            self.native[key] = value
        else:
            with guarded("pydantic_ai attribute"):
                self.live.set({key: value})

    @override
    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        with guarded("pydantic_ai event"):
            self.live.event(name, attributes, time_ns=timestamp)

    @override
    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        with guarded("pydantic_ai link"):
            self.live.link(context, attributes)

    @override
    def update_name(self, name: str) -> None:
        self.live.rename(name)

    @override
    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        code = status.status_code if isinstance(status, Status) else status
        if code is StatusCode.ERROR and self._error is None:
            self._error = (status.description if isinstance(status, Status) else description) or "error"

    @override
    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        if not isinstance(self._error, BaseException):
            self._error = exception

    def left_by(self, error: BaseException, *, record: bool) -> None:
        """Note how the code inside ended; ``record``: the SDK leaves errors to the span."""
        if isinstance(error, asyncio.CancelledError) and self.run is not None and self.run.left:
            # The SDK winds a run up by cancelling its tasks: the reason is the caller's.
            self._wound_up(self.run.error)
        elif isinstance(error, GeneratorExit):
            self._outcome[STOPPED_EARLY] = True
        elif isinstance(error, asyncio.CancelledError):
            self._cancelled()
        elif isinstance(error, _DEFERRALS):
            self._deferred = True
            self.native.setdefault("pydantic_ai.tool.deferral.name", type(error).__name__)
        elif isinstance(error, _SKIPPED):
            return
        elif record or not isinstance(error, Exception):
            self.record_exception(error)

    def _wound_up(self, reason: BaseException | None) -> None:
        if isinstance(reason, asyncio.CancelledError):
            self._cancelled()
        elif reason is None or isinstance(reason, GeneratorExit):
            self._outcome[STOPPED_EARLY] = True
        elif self.kind == "AGENT" or _raised_by_model(reason):
            self.record_exception(reason)
        else:
            self._outcome[STOPPED_EARLY] = True

    def _settle(self, run: Run, end_time: int) -> None:
        """End a request that was cancelled, now that it is known why: a stream's error is raised to its reader."""
        del self._outcome[CANCELLED]
        self._error = None
        self._wound_up(run.error)
        self.end(end_time)

    def _cancelled(self) -> None:
        self._outcome[CANCELLED] = True
        self._error = "cancelled"

    @property
    def context(self) -> Context:
        """The context in which the SDK runs what is below: this span current, the session with it."""
        return trace.set_span_in_context(self, self.live.context)

    @override
    def end(self, end_time: int | None = None) -> None:
        if not self.live.is_recording:
            self.live.end(end_time=end_time)
            return
        run = self.run
        if self.kind == "LLM" and CANCELLED in self._outcome and run is not None and not run.left:
            run.waiting.append(partial(self._settle, run, end_time or time.time_ns()))
            return
        if self.kind == "AGENT" and self._error is None and run is not None and run.left and not run.finished:
            self._wound_up(run.error)
        attributes: Mapping[str, Any] = {}
        with guarded("pydantic_ai translation"):
            attributes = {**self._describe(self), **self._outcome}
        error = _told(self._error)
        ok = not (self._deferred or STOPPED_EARLY in self._outcome)
        self.live.end(error=error, ok=ok, attributes=attributes, end_time=end_time)

    @property
    def cause(self) -> BaseException | None:
        """The exception that failed the span, the user's own where the SDK wrapped it."""
        error = _told(self._error)
        return error if isinstance(error, BaseException) else None


def _told(error: BaseException | str | None) -> BaseException | str | None:
    """Return a retry as what the user's code raised: the SDK wraps it for its own loop."""
    if isinstance(error, BaseException) and type(error).__name__ == "ToolRetryError":
        return error.__cause__ or error.__context__ or error
    return error


def _raised_by_model(error: BaseException) -> bool:
    """Tell a stream that broke from a caller who raised while reading it: which code did it pass?"""
    step = error.__traceback__
    while step is not None:
        if str(step.tb_frame.f_globals.get("__name__", "")).startswith("pydantic_ai.models"):
            return True
        step = step.tb_next
    return False
