"""Steps and events that explicit calls create, update and end; each is a span below the current one."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from openinference.semconv.trace import OpenInferenceSpanKindValues, SpanAttributes

from lucidic._active import current_session_id
from lucidic._open_records import Record, innermost
from lucidic._runtime import runtime
from lucidic._spans import _attributes as keys
from lucidic._spans._io import io_attributes
from lucidic._spans._json import dumps
from lucidic._spans._tracer import AdapterTracer
from lucidic.errors import InvalidOperationError, NotInitializedError


STEP: Final = "lucidic.step."
EVENT: Final = "lucidic.event."
_KIND: Final = SpanAttributes.OPENINFERENCE_SPAN_KIND


def tracer() -> AdapterTracer:
    """Return the tracer of steps and events."""
    from lucidic.adapterkit import AdapterOptions, make_tracer

    return make_tracer("lucidic.steps", AdapterOptions())


def create_step(
    state: str | None = None,
    action: str | None = None,
    goal: str | None = None,
    eval_score: float | None = None,
    eval_description: str | None = None,
    screenshot: str | None = None,
    screenshot_path: str | None = None,
) -> str:
    """Begin a step of the active session; what follows in this context hangs below it, until ``end_step()``.

    Args:
        state: Where the agent is.
        action: What it does.
        goal: What for.
        eval_score: How well it did.
        eval_description: Why.
        screenshot: An image, as base64 or as a data URI.
        screenshot_path: An image's file; its bytes are kept.

    Returns:
        The step's id.

    Raises:
        NotInitializedError: No session is active.
        InvalidOperationError: The screenshot cannot be read.

    """
    _require_session("create_step")
    attributes = step_attributes(
        state=state,
        action=action,
        goal=goal,
        eval_score=eval_score,
        eval_description=eval_description,
        screenshot=screenshot,
        screenshot_path=screenshot_path,
    )
    return open_step(attributes).id


def update_step(step_id: str | None = None, **changes: Any) -> None:
    """Change an open step, by default the innermost one here; what is not given stays.

    Args:
        step_id: The step.
        **changes: As in ``create_step``.

    Raises:
        InvalidOperationError: There is no such open step.

    """
    _find("step", step_id).live.set(step_attributes(**changes))


def end_step(step_id: str | None = None, **changes: Any) -> None:
    """End an open step, by default the innermost one here, and the events open in it.

    Args:
        step_id: The step.
        **changes: As in ``create_step``.

    Raises:
        InvalidOperationError: There is no such open step.

    """
    runtime().records.close(_find("step", step_id), attributes=step_attributes(**changes))


def create_event(
    step_id: str | None = None,
    description: str | None = None,
    result: str | None = None,
    cost_added: float | None = None,
    model: str | None = None,
    screenshots: Sequence[str] | None = None,
    function_name: str | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> str:
    """Begin an event of the active session, in the innermost step here or in the one given.

    It ends at ``end_event()``, or with its step or session.

    Args:
        step_id: The open step that it belongs to.
        description: What is done.
        result: What came of it.
        cost_added: US dollars.
        model: The model that was called; makes it an ``LLM`` span.
        screenshots: Images, each as base64, data URI or path of a file.
        function_name: The function that was called; makes it a ``TOOL`` span.
        arguments: Its arguments.

    Returns:
        The event's id.

    Raises:
        NotInitializedError: No session is active.
        InvalidOperationError: There is no such open step, or a screenshot cannot be read.

    """
    step = None if step_id is None else _find("step", step_id)
    if step is None:
        _require_session("create_event")
        step = innermost("step")
    attributes = event_attributes(
        description=description,
        result=result,
        cost_added=cost_added,
        model=model,
        screenshots=screenshots,
        function_name=function_name,
        arguments=arguments,
    )
    kind = attributes.pop(_KIND, OpenInferenceSpanKindValues.CHAIN.value)
    if step is not None:
        attributes[keys.STEP_ID] = step.id
    parent = step.live if step_id is not None and step is not None else None
    live = tracer().start(function_name or "event", kind, parent=parent, attributes=attributes)
    return runtime().records.add("event", live).id


def update_event(event_id: str | None = None, **changes: Any) -> None:
    """Change an open event, by default the last one begun here; what is not given stays.

    Args:
        event_id: The event.
        **changes: As in ``create_event``.

    Raises:
        InvalidOperationError: There is no such open event.

    """
    _find("event", event_id).live.set(event_attributes(**changes))


def end_event(event_id: str | None = None, **changes: Any) -> None:
    """End an open event, by default the last one begun here.

    Args:
        event_id: The event.
        **changes: As in ``create_event``.

    Raises:
        InvalidOperationError: There is no such open event.

    """
    runtime().records.close(_find("event", event_id), attributes=event_attributes(**changes))


def open_step(attributes: Mapping[str, Any], *, name: str = "step") -> Record:
    """Begin a step and make it current here."""
    live = tracer().start(name, OpenInferenceSpanKindValues.CHAIN.value, attributes=attributes)
    record = runtime().records.add("step", live)
    live.set({keys.STEP_ID: record.id})
    record.make_current()
    return record


def step_attributes(
    *,
    state: str | None = None,
    action: str | None = None,
    goal: str | None = None,
    eval_score: float | None = None,
    eval_description: str | None = None,
    screenshot: str | None = None,
    screenshot_path: str | None = None,
) -> dict[str, Any]:
    """Return a step's fields as attributes; state and action are also what went in and came out."""
    image = _image_file(screenshot_path) if screenshot_path is not None else screenshot
    fields = {
        "state": state,
        "action": action,
        "goal": goal,
        "eval_score": eval_score,
        "eval_description": eval_description,
        "screenshot": image,
    }
    return {**_prefixed(STEP, fields), **io_attributes(state, action)}


def event_attributes(
    *,
    description: str | None = None,
    result: object = None,
    cost_added: float | None = None,
    model: str | None = None,
    screenshots: Sequence[str] | None = None,
    function_name: str | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return an event's fields as attributes, ours and OpenInference's."""
    fields = {
        "description": description,
        "result": result if result is None or isinstance(result, str) else dumps(result),
        "cost_added": cost_added,
        "model": model,
        "screenshots": [_image(item) for item in screenshots] if screenshots else None,
        "function_name": function_name,
        "arguments": None if arguments is None else dumps(arguments),
    }
    found = {
        **_prefixed(EVENT, fields),
        **io_attributes(description if arguments is None else arguments, result),
    }
    if function_name is not None:
        found |= {_KIND: OpenInferenceSpanKindValues.TOOL.value, SpanAttributes.TOOL_NAME: function_name}
    if model is not None:
        found |= {_KIND: OpenInferenceSpanKindValues.LLM.value, SpanAttributes.LLM_MODEL_NAME: model}
    if cost_added is not None:
        found[SpanAttributes.LLM_COST_TOTAL] = cost_added
    return found


def _prefixed(prefix: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in fields.items() if value is not None}


def _image(given: str) -> str:
    """Keep base64 and data URIs as they are; read what is a file."""
    if given.startswith("data:") or len(given) > 1024:
        return given
    return _image_file(given) if Path(given).is_file() else given


def _image_file(path: str) -> str:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InvalidOperationError(
            f"The screenshot {path!r} cannot be read ({error.strerror}): pass the path of an image's file, or the "
            f"image itself as base64."
        ) from error
    import mimetypes  # many files are read at its first use

    kind = mimetypes.guess_type(path)[0] or "image/png"
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _require_session(function: str) -> None:
    if current_session_id() is None:
        raise NotInitializedError(
            f"lai.{function}() needs an active session: open one with lai.init() or lai.session(), or continue one "
            f"with lai.continue_session(session_id)."
        )


def _find(what: str, record_id: str | None) -> Record:
    record = innermost(what) if record_id is None else runtime().records.find(what, record_id)
    if record is None:
        which = (
            f"There is no active {what}" if record_id is None else f"The {what} {record_id!r} is not active"
        )
        raise InvalidOperationError(f"{which}: begin one with lai.create_{what}().")
    return record
