"""The one place that swallows exceptions of our own code before they reach the caller."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any, TypeVar


_F = TypeVar("_F", bound=Callable[..., Any])
_LOG_EVERY_S = 60.0

logger = logging.getLogger("lucidic")


class _State:
    """Process-wide switch and clock of the guard; tests replace both."""

    def __init__(self) -> None:
        self.reraise = False
        self.monotonic: Callable[[], float] = time.monotonic
        self.last_logged: dict[str, float] = {}


state = _State()


def log_once_a_minute(site: str, message: str, *args: object, exc_info: BaseException | None = None) -> None:
    """Log a warning for ``site``, at most once a minute."""
    now = state.monotonic()
    last = state.last_logged.get(site)
    if last is not None and now - last < _LOG_EVERY_S:
        return
    state.last_logged[site] = now
    logger.warning(message, *args, exc_info=exc_info)


def swallow(site: str, error: Exception) -> None:
    """Do what ``guarded`` does with an exception, for callbacks that run for every span.

    An ``except`` clause costs nothing where nothing is raised; a ``with`` block makes an object each time.
    """
    if state.reraise:
        raise error
    _log(site, error)


def _log(site: str, error: BaseException) -> None:
    log_once_a_minute(site, "lucidic: internal error in %s; the program goes on", site, exc_info=error)


class guarded:  # noqa: N801  # reads as a statement: `with guarded("site"):`
    """Swallow exceptions of the block, or of the decorated function, which then returns ``None``.

    An ``Exception`` is logged at most once a minute for each site and never reaches the caller;
    ``KeyboardInterrupt`` and its like pass through. Under our own tests everything passes through.
    """

    __slots__ = ("site",)

    def __init__(self, site: str) -> None:
        self.site = site

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> bool:
        if error is None:
            return False
        if not isinstance(error, Exception) or state.reraise:
            return False
        _log(self.site, error)
        return True

    def __call__(self, function: _F) -> _F:
        site = self.site

        @wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with guarded(site):
                return function(*args, **kwargs)

        return wrapper  # type: ignore[return-value]  # same signature; None only where an error was swallowed
