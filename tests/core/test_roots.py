"""A turn whose root is a plain span: a server's, a job's, a user's own."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

import lucidic as lai
from lucidic.adapterkit import AdapterOptions, io_attributes, make_tracer


CALLED = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
CALLED_BY_US = {**CALLED, "baggage": "session.id=user_1_conv_1"}


def run(question, answer, kind="AGENT", inner=()):
    """Run an agent that asks its model, and whatever is given."""
    tracer = make_tracer("test", AdapterOptions())
    agent = tracer.start("agent", kind, attributes=io_attributes(question))
    tracer.start("model", "LLM", parent=agent, attributes=io_attributes("model in", "model out")).end()
    for name, value in inner:
        tracer.start(name, "TOOL", parent=agent, attributes=io_attributes(value, value)).end()
    agent.end(attributes=io_attributes(output=answer))


def words(captured, name):
    """Return what a span says went in and came out."""
    attributes = captured.named(name).attributes
    return attributes.get("input.value"), attributes.get("output.value")


@pytest.mark.parametrize("kind", [SpanKind.SERVER, SpanKind.INTERNAL])
def test_plain_root_has_the_words_of_the_run_below_it(captured, kind):
    """Backends show of a turn what its root says: the user's words and the answer's, not a part's."""
    tracer = trace.get_tracer("web")
    with (
        lai.bind_session("user_1_conv_1"),
        tracer.start_as_current_span("POST /chat", kind=kind),
        tracer.start_as_current_span("handler"),
    ):
        run("Where is it?", "On its way.", inner=[("look", "4711")])

    assert ("Where is it?", "On its way.") == words(captured, "POST /chat")
    assert "text/plain" == captured.named("POST /chat").attributes["input.mime_type"]
    assert (None, None) == words(captured, "handler")


def test_several_runs_give_the_first_input_and_the_last_output(captured):
    """A root over two runs shows what the first was asked and what the last answered; a tool alone says nothing."""
    with trace.get_tracer("job").start_as_current_span("job"):
        make_tracer("test", AdapterOptions()).start(
            "look", "TOOL", attributes=io_attributes("4711", "found")
        ).end()
        run("first question", "first answer")
        run("second question", "second answer")

    assert ("first question", "second answer") == words(captured, "job")


def test_what_a_root_says_itself_stays(captured):
    """Input and output that the user's code set on its own root are not touched."""
    with trace.get_tracer("job").start_as_current_span("job", attributes={"input.value": "mine"}) as root:
        run("question", "answer")
        root.set_attribute("output.value", "mine, too")

    assert ("mine", "mine, too") == words(captured, "job")


def test_words_of_a_root_are_masked_once(captured):
    """The root's copy is masked as the run's span was, and not a second time."""
    lai.init(masking_function=lambda text: f"<{text}>")
    with trace.get_tracer("job").start_as_current_span("job"):
        run("question", "answer")

    assert ("<question>", "<answer>") == words(captured, "job") == words(captured, "agent")


def test_the_users_own_span_is_not_touched(captured):
    """The root's words are in what we keep and deliver; the span that other exporters get is as it was."""
    with lai.session("x"), trace.get_tracer("job").start_as_current_span("job") as root:
        run("question", "answer")

    assert ("question", "answer") == words(captured, "job")
    assert {"lucidic.session_id", "session.id", "gen_ai.conversation.id", "lucidic.session.source"} == set(
        root.attributes
    )


@pytest.mark.parametrize(("carrier", "is_marked"), [({}, False), (CALLED, True), (CALLED_BY_US, False)])
def test_call_from_a_process_without_sessions_is_marked(captured, carrier, is_marked):
    """A remote parent that sends no session is none that a backend of conversations will ever see."""
    with (
        lai.extract(carrier),
        trace.get_tracer("web").start_as_current_span("request"),
        trace.get_tracer("web").start_as_current_span("below"),
    ):
        pass

    assert (is_marked or None) is captured.named("request").attributes.get("lucidic.local_root")
    assert "lucidic.local_root" not in captured.named("below").attributes
