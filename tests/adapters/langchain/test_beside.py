"""Another tracer's handler in the same runs: each run is kept once, whoever of the two is told first."""

from __future__ import annotations

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableLambda
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import lucidic as lai
from lucidic.langchain import LucidicHandler


SCOPE = "openinference.instrumentation.langchain"


class Theirs(BaseCallbackHandler):
    """Makes a span of each run, below that of its parent; attached while it is open if asked to."""

    run_inline = True

    def __init__(self, provider, *, attaches):
        self.tracer = provider.get_tracer(SCOPE)
        self.attaches = attaches
        self.open = {}

    def _start(self, serialized, given, *, run_id, parent_run_id=None, **_):
        above, _ = self.open.get(parent_run_id, (None, None))
        place = None if above is None else trace.set_span_in_context(above)
        kind = {"openinference.span.kind": "CHAIN"}
        if isinstance(given, list):
            kind = {"openinference.span.kind": "LLM", "llm.token_count.prompt": 7}
        span = self.tracer.start_span("theirs", place, attributes=kind)
        token = otel_context.attach(trace.set_span_in_context(span)) if self.attaches else None
        self.open[run_id] = (span, token)

    def _end(self, _, *, run_id, **__):
        span, token = self.open.pop(run_id)
        if token is not None:
            otel_context.detach(token)
        span.end()

    on_chain_start = on_chat_model_start = _start
    on_chain_end = on_llm_end = _end


class NotInline(Theirs):
    """As most handlers are: in asynchronous runs LangChain calls them in a thread."""

    run_inline = False


@pytest.fixture
def provider():
    made = TracerProvider(shutdown_on_exit=False)
    made.exporter = InMemorySpanExporter()
    made.add_span_processor(SimpleSpanProcessor(made.exporter))
    LucidicHandler(tracer_provider=made)._tracer.start("so that ours is on the provider", "CHAIN").end()
    made.exporter.clear()
    return made


def of_theirs(spans):
    return [span for span in spans if span.instrumentation_scope.name == SCOPE]


def chain(lc, provider):
    def node(text):
        with provider.get_tracer("users-code").start_as_current_span("user's"):
            return lc.chat().invoke(text).content

    return RunnableLambda(node, name="node")


@pytest.mark.parametrize("first", ["ours", "theirs"])
@pytest.mark.parametrize("attaches", [False, True], ids=["", "attaching"])
def test_each_run_is_kept_once(lc, captured, provider, tree, first, attaches):
    """Passed to the same run in either order: our tree with the user's span in it, and theirs as it is alone."""
    captured.clear()
    handlers = [LucidicHandler(tracer_provider=provider), Theirs(provider, attaches=attaches)]
    chain(lc, provider).invoke("x", {"callbacks": handlers if first == "ours" else handlers[::-1]})

    assert [] == of_theirs(captured.spans)
    assert (["user's"], ["node"]) == (tree.names_above("Chat"), tree.names_above("user's"))
    assert [None] == [span.parent for span in captured.spans if span.name == "node"]
    theirs = of_theirs(provider.exporter.get_finished_spans())
    assert {"theirs"} == {span.name for span in theirs}
    assert 2 == len(theirs)
    assert trace.get_current_span() is trace.INVALID_SPAN


@pytest.mark.parametrize("kind", [Theirs, NotInline])
async def test_a_run_without_ours_is_theirs_to_tell(lc, captured, provider, kind):
    """Ours in one run and theirs in both: the run that only they see is kept, with its tokens."""
    captured.clear()
    theirs = kind(provider, attaches=False)
    work = RunnableLambda(lambda text: text) | lc.chat()
    await work.ainvoke("x", {"callbacks": [theirs]})
    assert 3 == len(of_theirs(captured.spans))
    assert 7 == sum(span.attributes.get("llm.token_count.prompt", 0) for span in captured.spans)
    captured.clear()
    with lai.instrument("langchain", tracer_provider=provider):
        await work.ainvoke("x", {"callbacks": [theirs]})
    assert [] == of_theirs(captured.spans)
    assert captured.spans
    assert 6 == len(of_theirs(provider.exporter.get_finished_spans()))
