"""The scope bridge: a run's span is current where the run's own code executes, and nowhere else.

LangChain runs the code of lambdas, tools and graph nodes in a private copy of the context: setting
OpenTelemetry's context inside that copy needs no undoing and cannot leak. Models and retrievers run
in the caller's frame: there each call, and each step of a stream, is wrapped, and the caller's
context put back by value (a token could not be reset from another task, and would be logged).

Everything here reaches past LangChain's public interface. Each place is looked for on its own; one
that has moved is skipped with one warning, and the spans of the runs keep LangChain's own tree.
Names as of langchain-core 1.7 and langgraph 1.2.
"""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context

from lucidic.adapterkit import beneath
from lucidic_adapters.langchain import _bridge_calls as calls
from lucidic_adapters.langchain import _rerankers
from lucidic_adapters.langchain._bridge_cell import awaits, claim, configurable_here
from lucidic_adapters.langchain._events import EventCallbacks
from lucidic_adapters.langchain._runs import RUN_KEY, RUNS, lifecycle
from lucidic_adapters.langchain._sessions import Carrier


if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["awaits", "claim", "install", "lifecycle", "uninstall"]

logger = logging.getLogger("lucidic")
_lock = threading.Lock()
_patched: list[tuple[Any, str, Any, Any]] = []
_installed = False

_CORE: Final = "langchain_core"
_CHAT: Final = "langchain_core.language_models.chat_models:BaseChatModel"
_TEXT: Final = "langchain_core.language_models.llms:BaseLLM"
_TOOL: Final = "langchain_core.tools.base:BaseTool"
_RETRIEVER: Final = "langchain_core.retrievers:BaseRetriever"
_MANAGER: Final = "langchain_core.callbacks.manager:AsyncCallbackManager"
_RUNNABLES: Final = "langchain_core.runnables"
_CONFIG: Final = f"{_RUNNABLES}.config"


def install() -> None:
    """Install the bridge, once for the process; a second call does nothing."""
    global _installed
    with _lock:
        if _installed:
            return
        for target, name, wrap, required in _PLACES:
            _patch(target, name, wrap, required=required)
        _rerankers.install()
        _installed = True


def uninstall() -> None:
    """Put LangChain's own functions back, where nobody wrapped ours since."""
    global _installed
    with _lock:
        while _patched:
            owner, name, original, ours = _patched.pop()
            if getattr(owner, name, None) is ours:
                setattr(owner, name, original)
        _rerankers.uninstall()
        _installed = False


def _patch(target: str, name: str, wrap: Callable[[Any], Any], *, required: bool) -> None:
    module_name, _, class_name = target.partition(":")
    try:
        module: ModuleType = importlib.import_module(module_name)
    except ImportError:
        if module_name.startswith(_CORE):
            _moved(target, name)
        return  # langgraph is not installed
    owner = getattr(module, class_name, None) if class_name else module
    original = getattr(owner, name, None) if owner is not None else None
    if owner is None or not callable(original):
        if required:
            _moved(target, name)
        return
    if name not in vars(owner) and not required:
        return  # inherited from a class where it is wrapped
    ours = wrap(original)
    setattr(owner, name, ours)
    _patched.append((owner, name, original, ours))


def _moved(target: str, name: str) -> None:
    logger.warning(
        "lucidic: %s.%s is not where it was; spans that user code opens may nest less deeply there",
        target,
        name,
    )


def _config_context(original: Callable[..., Any]) -> Callable[..., Any]:
    """Make a run current in the private context in which LangChain executes its code."""

    @wraps(original)
    def set_config_context(config: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(config, *args, **kwargs)
        run = RUNS.get(getattr(config.get("callbacks"), "parent_run_id", None))
        if run is not None and otel_context.get_current().get(RUN_KEY) is not run:
            otel_context.attach(beneath(run.context))
        return result

    return set_config_context


def _configurable(original: Callable[..., Any]) -> Callable[..., Any]:
    """Carry ``configurable`` along with what LangChain keeps for LangSmith's tracer."""

    @wraps(original)
    def inheritable_metadata(config: Any) -> Any:
        found = original(config)
        configurable = config.get("configurable")
        return Carrier(found or {}, configurable) if configurable else found

    return inheritable_metadata


def _configure(original: Callable[..., Any]) -> Callable[..., Any]:
    """Hand the carried ``configurable`` to the run that starts, beside its metadata."""

    @wraps(original)
    def configure(*args: Any, **kwargs: Any) -> Any:
        manager = original(*args, **kwargs)
        given = (*kwargs.values(), *args)
        carriers = (item.configurable for item in given if type(item) is Carrier)
        configurable = next(carriers) if Carrier in map(type, given) else configurable_here()
        if not configurable and manager.parent_run_id is None and manager.handlers:
            configurable = _configurable_of_caller()
        if configurable:
            manager.metadata = Carrier(manager.metadata, configurable)
        return manager

    return configure


def _configurable_of_caller() -> Any:
    """Return the ``configurable`` of a call that configures callbacks from parts of its config by itself.

    The chains of langchain-classic do so, and retrievers and others that bring their own ``invoke``: the
    config is a variable there, three calls above this one.
    """
    frame = sys._getframe(1).f_back
    frame = None if frame is None else frame.f_back
    if frame is None or "config" not in frame.f_code.co_varnames:
        return None
    if frame.f_globals.get("__name__") == _CONFIG:
        return None  # LangChain's own way, on which it was carried along
    config = frame.f_locals.get("config")
    return config.get("configurable") if isinstance(config, dict) else None


def _merge_metadata(original: Callable[..., Any]) -> Callable[..., Any]:
    """Keep what a run's metadata carries when LangChain adds to it."""

    @wraps(original)
    def merge(base: Any, incoming: Any) -> Any:
        if type(base) is Carrier:
            return Carrier(original(base, incoming), base.configurable)
        if type(incoming) is Carrier:
            return Carrier(original(base, incoming), incoming.configurable)
        return original(base, incoming)

    return merge


def _graph_callbacks(original: Callable[..., Any]) -> Callable[..., Any]:
    """Add the process's handler to those that a graph tells of interrupts and resumes: those passed to it."""

    @wraps(original)
    def configure(*args: Any, **kwargs: Any) -> Any:
        manager = original(*args, **kwargs)
        handler = lifecycle.handler
        if handler is not None and not any(isinstance(known, type(handler)) for known in manager.handlers):
            manager.handlers = [*manager.handlers, handler]
        return manager

    return configure


def _group_callbacks(original: Callable[..., Any]) -> Callable[..., Any]:
    """Keep our handler of a chain group's own manager, which LangChain drops where LangSmith is off."""

    @wraps(original)
    def trace_callbacks(*args: Any, callback_manager: Any = None, **kwargs: Any) -> Any:
        found = original(*args, callback_manager=callback_manager, **kwargs)
        if found is None and callback_manager is not None:
            return [known for known in callback_manager.handlers if isinstance(known, EventCallbacks)] or None
        return found

    return trace_callbacks


_PREGEL: Final = "langgraph.pregel.main:Pregel"
_STREAMS: Final = (
    *(f"{_RUNNABLES}.base:Runnable{kind}" for kind in ("", "Sequence", "Parallel", "Generator", "Lambda")),
    f"{_RUNNABLES}.base:RunnableBindingBase",
    f"{_RUNNABLES}.fallbacks:RunnableWithFallbacks",
    f"{_RUNNABLES}.branch:RunnableBranch",
    f"{_RUNNABLES}.configurable:DynamicRunnable",
    f"{_RUNNABLES}.router:RouterRunnable",
    *(f"{_RUNNABLES}.passthrough:Runnable{kind}" for kind in ("Passthrough", "Assign", "Pick")),
)
_EVENT_STREAMS: Final = (f"{_RUNNABLES}.base:Runnable", f"{_RUNNABLES}.base:RunnableBindingBase", _PREGEL)

_PLACES: Final[tuple[tuple[str, str, Callable[[Any], Any], bool], ...]] = (
    (_CONFIG, "_set_config_context", _config_context, True),
    ("langgraph._internal._runnable", "_set_config_context", _config_context, True),
    (_CONFIG, "_get_langsmith_inheritable_metadata_from_config", _configurable, False),
    ("langgraph._internal._config", "_get_tracing_metadata_defaults", _configurable, False),
    ("langchain_core.callbacks.manager", "_configure", _configure, True),
    (f"{_CORE}.tracers.context", "_get_trace_callbacks", _group_callbacks, False),
    (_CONFIG, "_merge_metadata_dicts", _merge_metadata, False),
    (f"{_RUNNABLES}.base:RunnableSequence", "batch", calls.sync_carrier, True),
    (f"{_RUNNABLES}.base:RunnableSequence", "abatch", calls.async_carrier, True),
    (f"{_RUNNABLES}.base:RunnableParallel", "invoke", calls.sync_carrier, True),
    (f"{_RUNNABLES}.base:RunnableParallel", "ainvoke", calls.async_carrier, True),
    (f"{_RUNNABLES}.fallbacks:RunnableWithFallbacks", "batch", calls.sync_carrier, True),
    (f"{_RUNNABLES}.fallbacks:RunnableWithFallbacks", "abatch", calls.async_carrier, True),
    (_CHAT, "_generate_with_cache", calls.sync_call_of_manager, True),
    (_CHAT, "_agenerate_with_cache", calls.async_call_of_manager, True),
    (_TEXT, "_generate_helper", calls.sync_call_of_manager, True),
    (_TEXT, "_agenerate_helper", calls.async_call_of_manager, True),
    (_CHAT, "_iter_v2_events", calls.sync_events, False),
    (_CHAT, "_aiter_v2_events", calls.async_events, False),
    *((model, "invoke", calls.sync_model, False) for model in (_CHAT, _TEXT)),
    *((model, "ainvoke", calls.async_model, False) for model in (_CHAT, _TEXT)),
    (_CHAT, "stream_events", calls.sync_model, False),
    (_CHAT, "astream_events", calls.sync_model, False),
    (_TEXT, "batch", calls.sync_model, False),
    (_TEXT, "abatch", calls.async_model, False),
    (_CHAT, "stream", calls.sync_stream, True),
    (_CHAT, "astream", calls.async_stream, True),
    (_TEXT, "stream", calls.sync_stream, True),
    (_TEXT, "astream", calls.async_stream, True),
    (_CHAT, "generate", calls.sync_guard("LLM"), True),
    (_CHAT, "agenerate", calls.async_guard("LLM"), True),
    (_TEXT, "generate", calls.sync_guard("LLM"), True),
    (_TEXT, "agenerate", calls.async_guard("LLM"), True),
    (_TOOL, "run", calls.sync_guard("TOOL"), True),
    (_TOOL, "arun", calls.async_guard("TOOL"), True),
    (_RETRIEVER, "invoke", calls.sync_guard("RETRIEVER", enters=True), True),
    (_RETRIEVER, "ainvoke", calls.async_guard("RETRIEVER", enters=True), True),
    (_MANAGER, "on_chain_start", calls.chain_start, True),
    (_MANAGER, "on_llm_start", calls.text_start, True),
    *((place, name, calls.chain_stream, False) for place in _STREAMS for name in ("stream", "astream")),
    *((_PREGEL, name, calls.graph_stream, False) for name in ("stream", "astream")),
    *((place, "astream_events", calls.event_stream, False) for place in _EVENT_STREAMS),
    ("langgraph.callbacks", "_configure_graph_callbacks", _graph_callbacks, False),
)
"""What is wrapped: where it is, how, and whether its absence is worth a warning."""
