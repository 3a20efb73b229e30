"""Another tracer beside an adapter of ours: its spans are its own, and ours are one tree, each call once."""

from __future__ import annotations

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import lucidic as lai
from lucidic.adapterkit import AdapterOptions, beneath, make_tracer, traces
from lucidic.testing import session_id_of


A = "conversation-of-ada-0001"
MODEL_CALL = {"openinference.span.kind": "LLM", "llm.token_count.prompt": 7}


class Beside:
    """A provider with an exporter of its own, ours on it too, and a tracer each of theirs, ours and the user's."""

    def __init__(self):
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.ours = make_tracer("lucidic.langchain", AdapterOptions(tracer_provider=provider))
        self.ours.start("so that ours is on the provider", "CHAIN").end()
        self.exporter.clear()
        self.theirs = provider.get_tracer("openinference.instrumentation.langchain")
        self.users = provider.get_tracer("my-code")

    def exported(self):
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def sees(monkeypatch):
    """Whether our adapter sees what another tracer starts spans for; a list of one, to be changed."""
    from lucidic._spans import _peers

    monkeypatch.setattr(_peers, "_traced", {})
    answer = [True]
    traces("langchain", lambda: answer[0])
    return answer


@pytest.fixture
def beside(captured, sees):
    made = Beside()
    captured.clear()
    return made


def test_what_we_trace_is_kept_once(captured, beside):
    """Their span of a call that we trace has the session, goes to their exporter, and is not kept by us as well."""
    with lai.bind_session(A):
        beside.theirs.start_span("call", attributes=MODEL_CALL).end()

    assert [] == captured.spans
    theirs = beside.exported()["call"]
    assert (A, 7) == (session_id_of(theirs), theirs.attributes["llm.token_count.prompt"])


def test_what_we_do_not_trace_is_kept(captured, beside, sees):
    """What no adapter of ours sees, and what another kind of instrumentation made, is kept with its tokens."""
    sees[0] = False
    beside.theirs.start_span("unseen", attributes=MODEL_CALL).end()
    sees[0] = True
    beside.users.start_span("user's", attributes=MODEL_CALL).end()

    assert ["unseen", "user's"] == [span.name for span in captured.spans]
    assert [7, 7] == [span.attributes["llm.token_count.prompt"] for span in captured.spans]


def test_our_tree_passes_over_their_current_span(captured, beside):
    """Below their span that is current, ours and the user's hang below ours; their exporter sees what it always saw."""
    outer = beside.ours.start("node", "CHAIN")
    token = otel_context.attach(outer.context)
    with beside.theirs.start_as_current_span("node, as they see it"):
        with beside.users.start_as_current_span("user's"):
            beside.ours.start("below the user's", "CHAIN").end()
        beside.ours.start("below theirs", "CHAIN").end()
    otel_context.detach(token)
    outer.end()

    def parents(spans):
        names = {span.context.span_id: span.name for span in spans}
        return {span.name: names.get(span.parent.span_id) for span in spans if span.parent is not None}

    assert {"user's": "node", "below the user's": "user's", "below theirs": "node"} == parents(captured.spans)
    assert "node, as they see it" == parents(beside.exporter.get_finished_spans())["user's"]


def test_our_root_below_theirs_is_a_root(captured, beside):
    """A run that begins inside their root is in its trace, so that their backend shows one, and a root in our copy."""
    with beside.theirs.start_as_current_span("theirs"), lai.bind_session(A):
        beside.ours.start("ours", "CHAIN").end()

    (ours,) = captured.spans
    theirs = beside.exported()
    assert ours.parent is None
    assert theirs["ours"].parent.span_id == theirs["theirs"].context.span_id
    assert ours.context.trace_id == theirs["theirs"].context.trace_id


def test_their_trace_of_another_session_is_left(captured, beside):
    """One trace has one session: where theirs has another one, ours begins a trace of its own."""
    with lai.bind_session(A):
        theirs = beside.theirs.start_span("theirs")
    with trace.use_span(theirs), lai.bind_session("conversation-of-bob-0002"):
        beside.ours.start("ours", "CHAIN").end()
    theirs.end()

    assert captured.spans[0].context.trace_id != theirs.get_span_context().trace_id
    assert "conversation-of-bob-0002" == session_id_of(captured.spans[0])


def test_their_current_span_stays_current_in_the_code_below_ours(captured, beside):
    """``beneath`` leaves their open span of the same work in its place, and nobody else's."""
    root = beside.ours.start("root", "CHAIN")
    token = otel_context.attach(root.context)
    with beside.theirs.start_as_current_span("theirs") as theirs:
        run = beside.ours.start("run", "CHAIN")
        inside = beneath(run.context)
        assert trace.get_current_span(inside) is theirs
        beside.ours.start("inner", "CHAIN", parent=inside).end()
    with beside.users.start_as_current_span("user's"):
        assert beneath(run.context) is run.context
    run.end()
    otel_context.detach(token)
    with beside.theirs.start_as_current_span("of another conversation"):
        assert beneath(run.context) is run.context
    root.end()

    assert captured.named("inner").parent.span_id == captured.named("run").context.span_id


def test_a_client_below_their_call_counts_once(captured, beside):
    """A client's span below their span of a model call is below our model call, which has the tokens."""
    call = beside.ours.start("call", "LLM", attributes=MODEL_CALL)
    token = otel_context.attach(call.context)
    with beside.theirs.start_as_current_span("call, as they see it", attributes=MODEL_CALL):
        beside.users.start_span("client", attributes=MODEL_CALL).end()
    otel_context.detach(token)
    call.end()

    assert 7 == sum(span.attributes.get("llm.token_count.prompt", 0) for span in captured.spans)
    assert captured.named("client").attributes["lucidic.tokens_counted_above"] is True
