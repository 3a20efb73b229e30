"""``@lai.step`` and ``@lai.event``: each call of a function becomes a step or an event."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextvars import copy_context
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, overload

from openinference.semconv.trace import SpanAttributes

from lucidic._drive import drive
from lucidic._guard import guarded
from lucidic._open_records import Record, innermost
from lucidic._runtime import runtime
from lucidic._spans import _attributes as keys
from lucidic._spans._io import io_attributes
from lucidic._steps import event_attributes, open_step, step_attributes, tracer


_P = ParamSpec("_P")
_R = TypeVar("_R")
_Begin = Callable[[tuple[Any, ...], dict[str, Any]], "_Call"]


@overload
def step(function: Callable[_P, _R], /) -> Callable[_P, _R]: ...
@overload
def step(**fields: Any) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]: ...
def step(function: Callable[..., Any] | None = None, /, **fields: Any) -> Callable[..., Any]:
    """Make each call of a function a step; bare, or with the fields of ``create_step``.

    Sync, coroutine, generator and async generator functions; what they take, return and yield is passed through
    untouched. Without a session the function runs all the same.
    """
    step_attributes(**fields)  # a wrong field is an error here, not at the first call
    if function is None:
        return lambda found: _wrap(found, lambda: _StepCall(found, fields))
    given = function
    return _wrap(given, lambda: _StepCall(given, fields))


@overload
def event(function: Callable[_P, _R], /) -> Callable[_P, _R]: ...
@overload
def event(**fields: Any) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]: ...
def event(function: Callable[..., Any] | None = None, /, **fields: Any) -> Callable[..., Any]:
    """Make each call of a function an event; bare, or with the fields of ``create_event``.

    The arguments and the result are recorded, as text that is made without consuming any iterator. Sync, coroutine,
    generator and async generator functions; what they take, return and yield is passed through untouched.
    Without a session the function runs all the same.
    """
    event_attributes(**fields)
    if function is None:
        return lambda found: _wrap(found, lambda: _EventCall(found, fields))
    given = function
    return _wrap(given, lambda: _EventCall(given, fields))


class _Call:
    """One call of a decorated function."""

    def __init__(self, function: Callable[..., Any], fields: Mapping[str, Any]) -> None:
        self._function = function
        self._fields = fields
        self._record: Record | None = None
        self._entered = False

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[..., None]:
        """Begin before the function runs, and return what ends it."""
        with guarded("step"):
            self._record = self._open(self._arguments(args, kwargs))
        return self.leave

    def result(self, result: object) -> None:
        """Note what the function returned."""
        with guarded("step"):
            if self._record is not None and self._record.live.is_recording:
                self._record.live.set(self._of_result(result))

    def leave(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        """End after the function ran."""
        with guarded("step"):
            if self._record is not None:
                runtime().records.close(self._record, error=error)

    def _open(self, arguments: dict[str, Any]) -> Record:
        raise NotImplementedError

    def _of_result(self, result: object) -> dict[str, Any]:
        raise NotImplementedError

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        try:
            given = inspect.signature(self._function).bind(*args, **kwargs).arguments
        except (TypeError, ValueError):
            return {"args": list(args), **kwargs}
        return {name: value for name, value in given.items() if name not in ("self", "cls")}


class _StepCall(_Call):
    def _open(self, arguments: dict[str, Any]) -> Record:
        attributes = {**io_attributes(arguments or None), **step_attributes(**self._fields)}
        return open_step(attributes, name=self._function.__name__)

    def _of_result(self, result: object) -> dict[str, Any]:
        return {} if "action" in self._fields else io_attributes(None, result)


class _EventCall(_Call):
    def _open(self, arguments: dict[str, Any]) -> Record:
        name = self._function.__name__
        fields = {"function_name": name, "arguments": arguments, **self._fields}
        attributes = event_attributes(**fields)
        kind = attributes.pop(SpanAttributes.OPENINFERENCE_SPAN_KIND)
        outer = innermost("step")
        if outer is not None:
            attributes[keys.STEP_ID] = outer.id
        record = runtime().records.add("event", tracer().start(name, kind, attributes=attributes))
        record.make_current()
        return record

    def _of_result(self, result: object) -> dict[str, Any]:
        return {} if "result" in self._fields else event_attributes(result=result)


def _wrap(function: Callable[..., Any], make: Callable[[], _Call]) -> Callable[..., Any]:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return drive(function, copy_context, lambda args, kwargs: make().begin(args, kwargs))
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            call = make()
            leave = call.begin(args, kwargs)
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                leave(type(error), error, None)
                raise
            call.result(result)
            leave(None, None, None)
            return result

        return coroutine

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        call = make()
        leave = call.begin(args, kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            leave(type(error), error, None)
            raise
        call.result(result)
        leave(None, None, None)
        return result

    return plain
