"""Rerankers: LangChain has no callbacks for them, so the methods of its document compressors are wrapped.

Every class that compresses documents brings its own method; those that exist are wrapped when the
bridge is installed, later ones when they are made. Names as of langchain-core 1.7.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any, Final

from langchain_core.documents import BaseDocumentCompressor
from opentelemetry import context as otel_context

from lucidic.adapterkit import Document, LiveSpan, reranker_attributes
from lucidic_adapters.langchain._bridge_cell import restore
from lucidic_adapters.langchain._events import EventCallbacks
from lucidic_adapters.langchain._runs import GUARD, RUN_KEY, RUNS, lifecycle, outcome
from lucidic_adapters.langchain._tools import document_of, json_io


_HERE: Final = "lucidic.langchain.reranker"
"""Context key: the reranker whose span is open here; its methods call each other."""
_MODELS: Final = ("model", "model_name", "model_id")
_LIMITS: Final = ("top_n", "top_k", "k")

_ORIGINAL: Final = "_lucidic_original"
"""Attribute of a wrapped method: what it was."""


def install() -> None:
    """Wrap the methods of all compressors, now and later."""
    for kind in _compressors():
        _wrap_class(kind)
    BaseDocumentCompressor.__init_subclass__ = _init_subclass  # type: ignore[assignment]


def uninstall() -> None:
    """Put the compressors' own methods back, where nobody wrapped ours since."""
    for kind in _compressors():
        for name in _WRAPPERS:
            method = vars(kind).get(name)
            original = getattr(method, _ORIGINAL, None)
            if original is not None and method.__wrapped__ is original:
                setattr(kind, name, original)
    if vars(BaseDocumentCompressor).get("__init_subclass__") is _init_subclass:
        del BaseDocumentCompressor.__init_subclass__


def _compressors(kind: type[Any] = BaseDocumentCompressor) -> Iterator[type[Any]]:
    yield kind
    for inner in kind.__subclasses__():
        yield from _compressors(inner)


def _wrap_class(kind: type[Any]) -> None:
    for name, wrap in _WRAPPERS.items():
        original = vars(kind).get(name)
        if callable(original) and not hasattr(original, _ORIGINAL) and not _is_abstract(original):
            ours = wrap(original)
            setattr(ours, _ORIGINAL, original)
            setattr(kind, name, ours)


def _is_abstract(method: object) -> bool:
    return getattr(method, "__isabstractmethod__", False)


@classmethod  # type: ignore[misc]  # becomes a method of LangChain's class
def _init_subclass(cls: type[BaseDocumentCompressor], **kwargs: Any) -> None:
    super(BaseDocumentCompressor, cls).__init_subclass__(**kwargs)
    with GUARD:
        _wrap_class(cls)


def _sync(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def compress_documents(self: Any, *args: Any, **kwargs: Any) -> Any:
        live = _start(self, args, kwargs)
        if live is None:
            return original(self, *args, **kwargs)
        outer = otel_context.get_current()
        otel_context.attach(otel_context.set_value(_HERE, self, live.context))
        try:
            found = original(self, *args, **kwargs)
        except BaseException as error:
            _end(live, error)
            raise
        finally:
            restore(outer)
        _end(live, found=found)
        return found

    return compress_documents


def _async(original: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    @wraps(original)
    async def acompress_documents(self: Any, *args: Any, **kwargs: Any) -> Any:
        live = _start(self, args, kwargs)
        if live is None:
            return await original(self, *args, **kwargs)
        outer = otel_context.get_current()
        otel_context.attach(otel_context.set_value(_HERE, self, live.context))
        try:
            found = await original(self, *args, **kwargs)
        except BaseException as error:
            _end(live, error)
            raise
        finally:
            restore(outer)
        _end(live, found=found)
        return found

    return acompress_documents


_WRAPPERS: Final = {"compress_documents": _sync, "acompress_documents": _async}


def _start(reranker: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> LiveSpan | None:
    """Start the span of a reranker below what runs here; ``None`` where nobody traces, or it is open already."""
    with GUARD:
        current = otel_context.get_current()
        if current.get(_HERE) is reranker:
            return None
        named = {**dict(zip(("documents", "query", "callbacks"), args, strict=False)), **kwargs}
        given = named.get("callbacks")
        around = current.get(RUN_KEY)
        handler = _handler(around, given)
        if handler is None:
            return None
        parent = RUNS.get(getattr(given, "parent_run_id", None))
        lost = parent is not None and parent is not around
        live: LiveSpan = handler.start_span(type(reranker).__name__, "RERANKER", parent if lost else None)
        if live.is_recording:
            with GUARD:
                live.set(_request(reranker, named.get("documents"), named.get("query")))
        return live
    return None


def _request(reranker: Any, documents: Any, query: Any) -> dict[str, Any]:
    found: dict[str, Any] = reranker_attributes(
        query=query,
        model=_first(reranker, _MODELS, str),
        top_k=_first(reranker, _LIMITS, int),
        input_documents=_documents(documents),
    )
    return {**json_io("input", query), **found}


def _handler(around: Any, given: Any) -> Any:
    """Find the handler: that of the run around, one among the callbacks, or the process's."""
    if around is not None:
        return around.owner
    known = given if isinstance(given, list) else getattr(given, "handlers", None) or ()
    return next((item for item in known if isinstance(item, EventCallbacks)), lifecycle.handler)


def _end(live: LiveSpan, error: BaseException | None = None, found: Any = ()) -> None:
    with GUARD:
        shown, ok, reason = outcome(error)
        attributes = dict(reason)
        try:
            if error is None and live.is_recording:
                attributes |= reranker_attributes(output_documents=_documents(found))
                attributes |= json_io("output", found) if isinstance(found, list) else {}
        finally:
            live.end(error=shown, ok=ok, attributes=attributes)


def _documents(given: Any) -> list[Document]:
    """Translate documents; what could be read only once is left to the caller."""
    return [document_of(document) for document in given] if isinstance(given, (list, tuple)) else []


def _first(reranker: Any, names: Sequence[str], kind: type) -> Any:
    """Return the first of these fields that is filled; a model may be an object that has a name."""
    for name in names:
        value = getattr(reranker, name, None)
        value = value if isinstance(value, kind) else getattr(value, "model_name", None)
        if isinstance(value, kind):
            return value
    return None
