"""The session of the current context, as a small module: ``set``, ``get`` and ``bind``.

``from lucidic import context`` gives the helpers of the contextvars document::

    context.set(session_id)       # once for each session, at its root
    context.get()                 # anywhere below, in callbacks and background tasks too
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar, cast

from lucidic import _active
from lucidic._ids import UNKNOWN


__all__ = ["bind", "get", "set"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_NAME: Final = "session_id"


def set(session_id: str) -> None:
    """Bind a session to the current context; tasks started from here inherit it.

    Raises:
        InvalidSessionIDError: The id is empty or not text.

    """
    _active.set_active_session(session_id)


def get(default: str = UNKNOWN) -> str:
    """Return the session of the current context.

    Args:
        default: The answer where there is none: ``"unknown"``, which is never put on a span.

    """
    return _active.current_session_id() or default


def bind(function: Callable[_P, _R]) -> Callable[..., _R]:
    """Decorate a function so that it is given the current session as ``session_id``.

    Only if it accepts a keyword of that name (also through ``**kwargs``), the caller did not give it, by
    keyword or position, and there is a session: its own default holds otherwise. The function stays what it
    is: sync, coroutine function, generator function or async generator function.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return function  # a builtin that tells nothing takes no session either
    if not _accepts(signature):
        return function

    def with_session(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if _NAME in kwargs or _is_given(signature, args):
            return kwargs
        session_id = _active.current_session_id()
        return kwargs if session_id is None else {**kwargs, _NAME: session_id}

    return _wrap(function, with_session)


def _accepts(signature: inspect.Signature) -> bool:
    parameter = signature.parameters.get(_NAME)
    if parameter is None:
        return any(item.kind is inspect.Parameter.VAR_KEYWORD for item in signature.parameters.values())
    return parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _is_given(signature: inspect.Signature, args: tuple[Any, ...]) -> bool:
    try:
        return _NAME in signature.bind_partial(*args).arguments
    except TypeError:
        return True  # the call is wrong, and the function says so better


def _wrap(
    function: Callable[..., Any], with_session: Callable[[tuple[Any, ...], dict[str, Any]], dict[str, Any]]
) -> Callable[..., Any]:
    inner = function.func if isinstance(function, functools.partial) else function
    if inspect.iscoroutinefunction(inner):

        @_named_after(function, inner)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            return await function(*args, **with_session(args, kwargs))

        return coroutine
    if inspect.isasyncgenfunction(inner) or inspect.isgeneratorfunction(inner):
        return _wrap_generator(function, inner, with_session)

    @_named_after(function, inner)
    def plain(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **with_session(args, kwargs))

    return plain


def _wrap_generator(
    function: Callable[..., Any],
    inner: Callable[..., Any],
    with_session: Callable[[tuple[Any, ...], dict[str, Any]], dict[str, Any]],
) -> Callable[..., Any]:
    # The session is that of the call, not of the first step, so the wrapper is no generator function itself.
    @_named_after(function, inner)
    def generator(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **with_session(args, kwargs))

    return generator


def _named_after(
    function: Callable[..., Any], inner: Callable[..., Any]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a wrapper the metadata of a function, also of one inside a ``partial``."""

    def name(wrapper: Callable[..., Any]) -> Callable[..., Any]:
        named: Any = functools.wraps(inner)(wrapper)
        named.__wrapped__ = function
        return cast("Callable[..., Any]", named)

    return name
