# LangChain passes by name, and more than is used
# mypy: disable-error-code="override"
# The tracer that this class is by name returns its runs from callbacks; nobody reads them.
"""``LucidicHandler``: the callbacks of LangChain and LangGraph, each run a span.

Callbacks only start and end spans below an explicitly chosen parent; they never attach a context,
because LangChain runs many of them in other tasks and contexts than the code they are about. The
bridge (``_bridge.py``) makes a run's span current where its code executes.

On Python 3.10 LangChain and LangGraph cannot give a task a context. There, in asynchronous code, the
runs that LangChain knows keep their tree and session, but a span that user code opens inside a node
or lambda may nest under the caller of the run, and a model that a node calls without passing its
``config`` on gets no callbacks at all, ``create_agent``'s included. Synchronous code is not affected.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import LLMResult
from langchain_core.tracers.base import BaseTracer
from opentelemetry import context as otel_context

from lucidic.adapterkit import (
    SESSION_METADATA_KEYS,
    AdapterOptions,
    LiveSpan,
    SessionFrom,
    make_tracer,
)
from lucidic_adapters.langchain import _agents, _bridge, _models, _tools
from lucidic_adapters.langchain._control import control_flow, link_resume, tell_pause
from lucidic_adapters.langchain._describe import (
    answered,
    describe,
    input_of,
    is_no_input_yet,
    late_input,
    left_early,
    output_of,
    run_name,
)
from lucidic_adapters.langchain._events import EventCallbacks
from lucidic_adapters.langchain._runs import GUARD, RUN_KEY, RUNS, Run
from lucidic_adapters.langchain._sessions import session_ids


try:
    from langgraph.callbacks import GraphCallbackHandler
except ImportError:  # no langgraph, or one before 1.1
    GraphCallbackHandler = BaseCallbackHandler  # type: ignore[assignment,misc]

_EMPTY: Final[Mapping[str, Any]] = {}


class LucidicHandler(EventCallbacks, BaseTracer, GraphCallbackHandler):  # type: ignore[misc,unused-ignore]
    """Trace LangChain and LangGraph: pass it in ``config={"callbacks": [LucidicHandler()]}``.

    It needs no ``init()``. The session of a run is decided as everywhere in lucidic: the session
    given here, else a session bound around the call, else the ids in the call's metadata or
    ``configurable`` (``lucidic_session_id``, ``session_id``, ``conversation_id``, ``thread_id``).

    It is a ``BaseTracer`` only by name, because LangGraph gives the payloads that a node's
    ``TracePolicy`` shaped to tracers alone; none of BaseTracer's bookkeeping is used.
    """

    run_inline = True
    raise_error = False

    def __init__(
        self,
        *,
        session_id: str | None = None,
        session_keys: tuple[str, ...] = SESSION_METADATA_KEYS,
        session_from: SessionFrom | None = None,
        capture_content: bool | None = None,
        mask: Callable[[str], str] | None = None,
        tracer_provider: Any = None,
    ) -> None:
        """Make a handler; it may be shared by any number of threads, tasks and conversations.

        Args:
            session_id: The session of everything this handler sees; outranks all else.
            session_keys: The metadata keys that name a session, in order of precedence.
            session_from: ``"block"`` or ``"framework"``: which one outranks the other.
            capture_content: False leaves messages, arguments and results out.
            mask: Applied to every text that could hold content.
            tracer_provider: Where the spans are made; default the global provider, else our own.

        Raises:
            InvalidSessionIDError: ``session_id`` is empty or not text.
            ConfigurationError: ``session_from`` is neither word.

        """
        super().__init__()
        self.options = AdapterOptions(
            session_id=session_id,
            session_keys=tuple(session_keys),
            session_from=session_from,
            capture_content=capture_content,
            mask=mask,
            tracer_provider=tracer_provider,
        )
        self._session_keys = self.options.session_keys
        self._tracer = make_tracer("lucidic.langchain", self.options)
        _bridge.install()

    def __copy__(self) -> LucidicHandler:
        return self

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> LucidicHandler:
        return self

    def _persist_run(self, run: Any) -> None:
        """Do nothing: this is a tracer by name only."""

    # Runs

    def _start(
        self,
        name: str,
        kind: str,
        run_id: UUID,
        parent: Run | None,
        metadata: Mapping[str, Any] | None,
        facts: Callable[[Run, Mapping[str, Any]], Mapping[str, Any]],
    ) -> Run | None:
        """Start the span of a run, ``facts`` describing it; nothing is described that is not recorded.

        The span's parent is the current context where the innermost run there is the parent: a span
        that the user opened in between becomes the parent. Where the context was lost (threads,
        callbacks passed by hand, Python 3.10), it is LangChain's own parent.
        """
        if RUNS.get(run_id) is not None:
            return None  # another handler of ours was given the same run
        started = time.time_ns()
        known = _EMPTY if metadata is None else metadata
        run = Run(run_id, kind, parent, self, thread=known.get("thread_id"))
        lost = parent is not None and otel_context.get_current().get(RUN_KEY) is not parent
        live = self._tracer.start(
            name,
            kind,
            parent=parent.live if lost and parent is not None else None,
            framework=session_ids(known, self._session_keys),
            start_time=started,
        )
        run.begin(live)
        RUNS.add(run)
        _bridge.claim(run)
        if live.is_recording:
            with GUARD:
                live.set(facts(run, known))
        return run

    def _end(
        self, run_id: UUID, error: BaseException | str | None, describe: Callable[[Run], Mapping[str, Any]]
    ) -> None:
        run = RUNS.take(run_id, self)
        if run is None:
            return
        attributes: Mapping[str, Any] = {}
        try:
            if run.live.is_recording:
                with GUARD:
                    if isinstance(error, BaseException):
                        error = control_flow(run, error)
                    attributes = describe(run)
                    if run.streamed is not None:
                        error, attributes = left_early(run, error, attributes)
                    if run.pause is not None:
                        tell_pause(run)
        finally:
            RUNS.end(run, error, attributes)

    def start_span(self, name: str, kind: str, parent: Run | None) -> LiveSpan:
        """Start the span of what LangChain has no callbacks for, below ``parent`` or what runs here."""
        return self._tracer.start(name, kind, parent=None if parent is None else parent.live)

    # Chains

    def on_chain_start(
        self,
        serialized: Mapping[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        run_type: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Start the span of a chain, graph, node, agent, prompt or parser."""
        with GUARD:
            name = run_name(name, serialized, "chain")
            parent = RUNS.get(parent_run_id)
            known = _EMPTY if metadata is None else metadata
            kind = _agents.chain_kind(run_type, known, parent, told=_bridge.awaits("AGENT"))

            def facts(run: Run, known: Mapping[str, Any]) -> dict[str, Any]:
                found = describe(run, name, known, tags)
                run.defers_input = is_no_input_yet(inputs)
                if not run.defers_input:
                    found.update(input_of(run, inputs))
                if kind == "PROMPT":
                    found.update(_models.prompt_facts(serialized, inputs, known, found))
                return found

            run = self._start(name, kind, run_id, parent, metadata, facts)
            if parent_run_id is None:
                link_resume(run, inputs)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, inputs: Any = None, **kwargs: Any) -> None:
        """End the span of a chain."""
        with GUARD:
            self._end(run_id, None, lambda run: {**late_input(run, inputs), **output_of(run, outputs)})

    def on_chain_error(
        self, error: BaseException, *, run_id: UUID, inputs: Any = None, **kwargs: Any
    ) -> None:
        """End the span of a chain that failed, was cancelled or left early."""
        with GUARD:
            self._end(run_id, error, lambda run: late_input(run, inputs))

    # Models

    def on_chat_model_start(
        self,
        serialized: Mapping[str, Any] | None,
        messages: list[list[Any]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Start the span of a call of a chat model."""
        with GUARD:
            self._start_model(serialized, messages, None, run_id, parent_run_id, tags, metadata, name, kwargs)

    def on_llm_start(
        self,
        serialized: Mapping[str, Any] | None,
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Start the span of a call of a text model."""
        with GUARD:
            self._start_model(serialized, None, prompts, run_id, parent_run_id, tags, metadata, name, kwargs)

    def _start_model(
        self,
        serialized: Mapping[str, Any] | None,
        messages: list[list[Any]] | None,
        prompts: list[str] | None,
        run_id: UUID,
        parent_run_id: UUID | None,
        tags: list[str] | None,
        metadata: Mapping[str, Any] | None,
        name: str | None,
        kwargs: Mapping[str, Any],
    ) -> None:
        name = run_name(name, serialized, "llm")

        def facts(run: Run, known: Mapping[str, Any]) -> dict[str, Any]:
            found = describe(run, name, known, tags)
            request = _models.Request(kwargs.get("invocation_params"), kwargs.get("options"), known)
            run.request = request
            if messages is not None:
                found.update(_models.chat_request(request, messages))
                found.update(input_of(run, [message for batch in messages for message in batch]))
            else:
                found.update(_models.text_request(request, prompts or ()))
                found.update(input_of(run, "\n".join(prompts or ())))
            return found

        self._start(name, "LLM", run_id, RUNS.get(parent_run_id), metadata, facts)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Note the first token of a stream, and keep what it says."""
        run = RUNS.get(run_id)
        if run is None or run.owner is not self:
            return
        if run.said is None:
            run.said = []
            with GUARD:
                run.live.event(_models.FIRST_TOKEN_EVENT)
        if type(token) is str:
            run.said.append(token)

    def on_stream_event(self, event: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Note the first content of a stream of events (``stream_events`` version 3)."""
        if isinstance(event, Mapping) and event.get("event") == "content-block-delta":
            self.on_llm_new_token("", run_id=run_id)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """End the span of a call of a model."""
        with GUARD:
            self._end(run_id, None, lambda run: answered(run, response))

    def on_llm_error(
        self, error: BaseException, *, run_id: UUID, response: LLMResult | None = None, **kwargs: Any
    ) -> None:
        """End the span of a call that failed, with what had come of the answer."""
        with GUARD:
            self._end(
                run_id, error, lambda run: {} if response is None else answered(run, response, failed=True)
            )

    # Tools and retrievers

    def on_tool_start(
        self,
        serialized: Mapping[str, Any] | None,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Start the span of a tool."""
        with GUARD:
            name = run_name(name, serialized, "tool")
            call_id = kwargs.get("tool_call_id")
            self._start(
                name,
                "TOOL",
                run_id,
                RUNS.get(parent_run_id),
                metadata,
                lambda run, known: {
                    **describe(run, name, known, tags),
                    **_tools.tool_request(run, name, serialized, input_str, inputs, call_id),
                },
            )

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """End the span of a tool; an error that the tool handled itself is shown as one."""
        with GUARD:
            shown: dict[str, Any] = {}
            handled = None
            with GUARD:
                shown, handled = _tools.tool_result(output)
            self._end(run_id, handled, lambda _: shown)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """End the span of a tool that failed."""
        with GUARD:
            self._end(run_id, error, lambda _: {})

    def on_retriever_start(
        self,
        serialized: Mapping[str, Any] | None,
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Start the span of a retriever."""
        with GUARD:
            name = run_name(name, serialized, "retriever")
            self._start(
                name,
                "RETRIEVER",
                run_id,
                RUNS.get(parent_run_id),
                metadata,
                lambda run, known: {**describe(run, name, known, tags), **_tools.json_io("input", query)},
            )

    def on_retriever_end(self, documents: Sequence[Any], *, run_id: UUID, **kwargs: Any) -> None:
        """End the span of a retriever with what it found."""
        with GUARD:
            self._end(run_id, None, lambda _: _tools.found_documents(documents))

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """End the span of a retriever that failed."""
        with GUARD:
            self._end(run_id, error, lambda _: {})
