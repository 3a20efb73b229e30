"""The kit for writing an adapter: everything that an adapter may use of lucidic.

An adapter turns a framework's callbacks into spans::

    options = AdapterOptions(session_id=None)
    tracer = make_tracer("lucidic.my_framework", options)
    run = tracer.start("my agent", "AGENT", framework=framework_ids(metadata, "my_framework.metadata"))
    ...                       # user code of the run goes in run.context
    run.end(error=error)

It says what happened; lucidic decides the session, the trace, the masking and the delivery.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from lucidic._active import block_of_generator
from lucidic._clients import instruments_client
from lucidic._config import check_session_from
from lucidic._guard import guarded, log_once_a_minute, swallow
from lucidic._ids import check_session_id, framework_id
from lucidic._runtime import runtime
from lucidic._scope import SessionScope
from lucidic._spans._attributes import CANCELLED, INCOMPLETE, STOPPED_EARLY
from lucidic._spans._beside import block_here, user_attributes
from lucidic._spans._correlation import SESSION_METADATA_KEYS, FrameworkID, SessionFrom, framework_ids
from lucidic._spans._facts import (
    Audio,
    ContentPart,
    Document,
    Image,
    Message,
    Reasoning,
    Text,
    ToolCall,
    ToolSchema,
    Usage,
    Video,
)
from lucidic._spans._ids import chosen_trace_id
from lucidic._spans._io import io_attributes
from lucidic._spans._json import clean, dumps, json_encoder, json_object
from lucidic._spans._live import LiveSpan
from lucidic._spans._messages import message_attributes
from lucidic._spans._openinference import (
    agent_attributes,
    embedding_attributes,
    graph_node_attributes,
    llm_attributes,
    prompt_template_attributes,
    reranker_attributes,
    retriever_attributes,
    tool_attributes,
    tool_schema_attributes,
    usage_attributes,
)
from lucidic._spans._peers import BESIDE_KEY, reaches_others, stands_beside, traces
from lucidic._spans._place import beneath, deepest
from lucidic._spans._privacy import Privacy
from lucidic._spans._tracer import AdapterTracer
from lucidic._spans._vendors import provider_name, system_name
from lucidic.errors import MissingDependencyError


__all__ = [
    "BESIDE_KEY",
    "CANCELLED",
    "INCOMPLETE",
    "SESSION_METADATA_KEYS",
    "STOPPED_EARLY",
    "AdapterOptions",
    "AdapterTracer",
    "Audio",
    "ContentPart",
    "Document",
    "FrameworkID",
    "Image",
    "LiveSpan",
    "Message",
    "MissingDependencyError",
    "Reasoning",
    "SessionFrom",
    "SessionScope",
    "Text",
    "ToolCall",
    "ToolSchema",
    "Usage",
    "Video",
    "agent_attributes",
    "beneath",
    "block_here",
    "block_of_generator",
    "chosen_trace_id",
    "clean",
    "deepest",
    "dumps",
    "embedding_attributes",
    "framework_id",
    "framework_ids",
    "graph_node_attributes",
    "guarded",
    "instruments_client",
    "io_attributes",
    "json_encoder",
    "json_object",
    "llm_attributes",
    "log_once_a_minute",
    "make_tracer",
    "message_attributes",
    "prompt_template_attributes",
    "provider_name",
    "reaches_others",
    "reranker_attributes",
    "retriever_attributes",
    "stands_beside",
    "swallow",
    "system_name",
    "tool_attributes",
    "tool_schema_attributes",
    "traces",
    "usage_attributes",
    "user_attributes",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class AdapterOptions:
    """The options that every handler, processor and instrumentation of ours takes, with one meaning.

    Attributes:
        session_id: The session of everything this handler sees; outranks all else. Default none.
        session_keys: The metadata keys that name a session, in order of precedence.
        session_from: ``"block"`` or ``"framework"``: which one outranks the other; default as in
            ``init()`` and ``LUCIDIC_SESSION_FROM``.
        capture_content: False leaves messages, arguments and results out; default as in ``init()``.
        mask: Applied to every text that could hold content; default as in ``init()``.
        tracer_provider: Where the spans are made; default the global provider, else our own.

    Raises:
        InvalidSessionIDError: ``session_id`` is empty or not text.
        ConfigurationError: ``session_from`` is neither word.

    """

    session_id: str | None = None
    session_keys: tuple[str, ...] = SESSION_METADATA_KEYS
    session_from: SessionFrom | None = None
    capture_content: bool | None = None
    mask: Callable[[str], str] | None = None
    tracer_provider: Any = None

    def __post_init__(self) -> None:
        if self.session_id is not None:
            check_session_id(self.session_id)
        if self.session_from is not None:
            check_session_from(self.session_from)


def make_tracer(scope: str, options: AdapterOptions) -> AdapterTracer:
    """Make an adapter's tracer; touches no disk and starts no thread.

    Args:
        scope: The instrumentation scope's name, for example ``"lucidic.langchain"``.
        options: The handler's options.

    """
    run = runtime()
    privacy = None
    if options.mask is not None or options.capture_content is not None:
        privacy = Privacy(
            mask=options.mask or run.settings.masking_function,
            capture_content=run.settings.capture_content
            if options.capture_content is None
            else options.capture_content,
        )
    return run.tracer(
        scope,
        _our_version(),
        provider=options.tracer_provider,
        handler_id=options.session_id,
        session_from=options.session_from,
        privacy=privacy,
    )


@cache
def _our_version() -> str:
    try:
        return version("lucidic-adapters")
    except PackageNotFoundError:
        return "0"
