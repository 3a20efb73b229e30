"""Providers: what ``providers=["langchain"]`` and ``lai.instrument("langchain")`` switch on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from importlib import import_module
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from typing_extensions import Self

from lucidic._guard import guarded
from lucidic.errors import UnknownProviderError


if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

GROUP: Final = "lucidic.providers"
"""Entry-point group: a name, and a function that instruments and returns the function that undoes it."""

_OURS: Final = {
    "anthropic": "lucidic._clients:instrument_anthropic",
    "langchain": "lucidic.langchain:instrument",
    "openai": "lucidic._clients:instrument_openai",
    "openai_agents": "lucidic.openai_agents:instrument",
    "pydantic_ai": "lucidic.pydantic_ai:instrument",
    "threading": "lucidic._threads:instrument",
}
"""Our own, which need no installed metadata."""

Undo = Callable[[], None]

_lock = threading.RLock()
_active: dict[str, tuple[int, Undo]] = {}


class Instrumentation:
    """An instrumented provider; ``remove()`` or the end of a ``with`` block undoes it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._removed = False

    def remove(self) -> None:
        """Undo this call; the provider is switched off when every call is undone. Harmless twice."""
        with _lock:
            if self._removed:
                return
            self._removed = True
            count, undo = _active[self.name]
            if count > 1:
                _active[self.name] = (count - 1, undo)
                return
            del _active[self.name]
            with guarded(f"{self.name} uninstrument"):
                undo()  # in the lock: another thread may be about to begin anew

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()


def instrument(name: str, **options: Any) -> Instrumentation:
    """Trace everything that a framework or client does in this process.

    Repeated calls are harmless: the first one instruments, with its options, and the last
    ``remove()`` undoes it. One that the framework has dropped meanwhile is registered once more.

    Args:
        name: ``"langchain"``, ``"pydantic_ai"``, ``"openai_agents"``, or a provider that an installed
            package offers under the entry-point group ``lucidic.providers``.
        **options: The handler's options (``session_id``, ``session_from``, ``capture_content``, …).

    Raises:
        UnknownProviderError: There is no such provider; the message lists the known ones.
        MissingDependencyError: Its framework is not installed; the message names the extra.

    """
    start = find(name)
    with _lock:
        if name in _active:
            count, undo = _active[name]
            _active[name] = (count + 1, undo)
            again = getattr(undo, "again", None)
            if callable(again):
                again()
        else:
            _active[name] = (1, start(**options))
    if name != "threading":  # which the runtime itself instruments
        _adopt(options.get("tracer_provider") or trace.get_tracer_provider())
    return Instrumentation(name)


def _adopt(provider: object) -> None:
    """Join a provider that is there now, not with our first span: the user's spans around it are of its trace."""
    from lucidic._runtime import runtime  # which imports this module

    if hasattr(provider, "add_span_processor"):
        runtime().provider(provider)


def find(name: str) -> Callable[..., Undo]:
    """Return the function that instruments a provider."""
    target = _OURS.get(name)
    if target is not None:
        module, _, function = target.partition(":")
        ours: Callable[..., Undo] = getattr(import_module(module), function)
        return ours
    for entry in _offered():
        if entry.name == name:
            found: Callable[..., Undo] = entry.load()
            return found
    raise UnknownProviderError(name, known())


def known() -> list[str]:
    """Return the names of all providers, sorted."""
    return sorted({*_OURS, *(entry.name for entry in _offered())})


_MODULES: Final = {
    "agents": "openai_agents",
    "anthropic": "anthropic",
    "langchain": "langchain",
    "langchain_core": "langchain",
    "langgraph": "langchain",
    "openai": "openai",
    "pydantic_ai": "pydantic_ai",
}


def provider_names(providers: Iterable[object]) -> tuple[str, ...]:
    """Read ``providers=[…]``: names, or modules, classes and client objects of the frameworks.

    Raises:
        UnknownProviderError: One of them is no provider; the message lists the known ones.

    """
    if isinstance(providers, str):
        providers = [providers]
    found = []
    for provider in providers:
        name = provider if isinstance(provider, str) else _name_of(provider)
        # Reading the metadata of everything installed takes milliseconds: only for a name that is not ours.
        if name not in _OURS and name not in (names := known()):
            raise UnknownProviderError(provider, names)
        found.append(name)
    return tuple(dict.fromkeys(found))


def _name_of(provider: object) -> str:
    if isinstance(provider, ModuleType):
        module = provider.__name__
    else:
        module = getattr(provider, "__module__", None) or type(provider).__module__
    return _MODULES.get(module.partition(".")[0], module)


def _offered() -> EntryPoints:
    from importlib.metadata import entry_points  # a tenth of what importing lucidic may cost

    return entry_points(group=GROUP)
