"""Masking reaches every text before it is written anywhere, and never breaks the caller."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openinference.instrumentation import suppress_tracing
from opentelemetry import trace
from opentelemetry.trace import Link, Status, StatusCode

import lucidic as lai
from lucidic._runtime import replace_runtime
from lucidic.adapterkit import (
    AdapterOptions,
    Message,
    ToolCall,
    io_attributes,
    llm_attributes,
    make_tracer,
    tool_attributes,
)


SECRET = "s3cr3t-4711"


def hide(text):
    """Mask the secret and nothing else."""
    return text.replace(SECRET, "[hidden]")


def in_plain_span(text):
    tracer = trace.get_tracer("t")
    link = Link(trace.get_current_span().get_span_context(), {"note": text})
    with tracer.start_as_current_span("plain", attributes={"first": text}, links=[link]) as span:
        span.set_attribute("later", text)
        span.set_attribute("many", [text, "x"])
        span.set_attribute("nested", json.dumps({text: [{"deep": text}]}))
        span.add_event("event", {"text": text})


def in_status(text):
    with trace.get_tracer("t").start_as_current_span("status") as span:
        span.set_status(Status(StatusCode.ERROR, text))


def in_exception(text):
    with pytest.raises(ValueError), trace.get_tracer("t").start_as_current_span("exception"):
        raise ValueError(text)


def in_failed_session(text):
    with pytest.raises(ValueError), lai.session(session_id="failed-session-12"):
        raise ValueError(text)


def in_session_fields(text):
    with lai.session(text, task=text, tags=[text], rubrics=[text]):
        lai.update_session(task=text, is_successful_reason=text, session_eval_reason=text)
        lai.end_session(is_successful_reason=text, session_eval_reason=text)


def in_steps(text):
    lai.create_step(state=text, action=text, goal=text, eval_description=text, screenshot=text)
    lai.create_event(description=text, result=text, function_name="f", arguments={text: text})
    lai.update_event(screenshots=[text])
    lai.end_step(state=text)


def in_decorators(text):
    @lai.event
    def event(argument):
        return argument

    @lai.step
    async def step(argument):
        raise ValueError(argument)

    event(text)
    with pytest.raises(ValueError):
        asyncio.run(step(text))


def in_block_attributes(text):
    with lai.using_attributes(metadata={"k": text}, tags=[text], prompt_template=text):
        in_adapter_span("x")
        with trace.get_tracer("t").start_as_current_span("tagged"):
            pass


def in_adapter_span(text):
    messages = [
        Message(role="user", content=text),
        Message(role="assistant", tool_calls=[ToolCall(id="1", name="f", arguments={"q": text})]),
    ]
    attributes = {
        **llm_attributes(model="m", input_messages=messages, output_messages=messages),
        **tool_attributes("f", description=text, arguments={"p": text}),
        **io_attributes({"question": text}, [text]),
    }
    live = make_tracer("t", AdapterOptions()).start("adapter", "LLM", attributes=attributes)
    live.set({"more": text})
    live.event("note", {"text": text})
    with trace.use_span(live.span):
        trace.get_current_span().set_attribute("by.user.code", text)
    live.end(error=ValueError(text))


PLACES = [
    in_plain_span,
    in_status,
    in_exception,
    in_failed_session,
    in_session_fields,
    in_steps,
    in_decorators,
    in_block_attributes,
    in_adapter_span,
]


def bytes_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.lists(st.sampled_from(PLACES), min_size=1, unique=True),
    around=st.tuples(
        st.sampled_from(["", "x", "ü ", '"', "{", "\\"]), st.sampled_from(["", "y", " 日", '"', "]"])
    ),
)
def test_secret_is_in_no_byte_of_any_file(tmp_path_factory, monkeypatch, places, around):
    """A secret planted anywhere is not in the journal, the store or any other file of the home."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("LUCIDIC_HOME", str(home))
    replace_runtime(None)
    lai.init("masked", masking_function=hide)
    for place in places:
        place(SECRET.join(around))
    assert lai.flush(20.0)
    lai.shutdown(20.0)

    files = bytes_of(home)

    assert files
    assert b"masked" in b"".join(files.values())
    assert [] == [str(path) for path, content in files.items() if SECRET.encode() in content]


@pytest.mark.parametrize("place", PLACES)
def test_every_place_is_really_written_without_a_mask(place, tmp_path):
    """The property test looks where the texts are: without a mask the secret is found."""
    lai.init("unmasked")
    place(SECRET)
    lai.shutdown(20.0)

    assert any(SECRET.encode() in content for content in bytes_of(tmp_path).values())


@pytest.mark.parametrize("mask", [lambda text: 1 / 0, lambda text: None, lambda text: 7])
def test_mask_that_fails_leaves_a_placeholder_and_breaks_nothing(captured, mask, caplog):
    """A mask that raises or returns no text never lets the content through, and the caller never notices."""
    lai.init("secret name", masking_function=mask)
    with trace.get_tracer("t").start_as_current_span("s", attributes={"input.value": SECRET}):
        pass
    lai.create_step(state=SECRET)
    lai.end_session(is_successful_reason=SECRET)

    written = [str(dict(span.attributes)) for span in captured.spans] + [
        str(record) for record in captured.sessions
    ]

    assert SECRET not in "".join(written)
    assert "__MASKING_FAILED__" == captured.named("s").attributes["input.value"]
    assert SECRET not in caplog.text


def test_mask_is_applied_once_to_each_text(captured):
    """A mask that is not idempotent is not applied to its own result."""
    lai.init("x", masking_function=lambda text: f"<{text}>")
    live = make_tracer("t", AdapterOptions()).start("adapter", "LLM", attributes={"input.value": "in"})
    live.set({"output.value": "out"})
    live.end(error="why")
    lai.create_step(state="s")
    lai.end_step()

    adapter = captured.named("adapter")

    assert ("<in>", "<out>", "<why>") == (
        adapter.attributes["input.value"],
        adapter.attributes["output.value"],
        adapter.status.description,
    )
    assert "<s>" == captured.named("step").attributes["lucidic.step.state"]


def test_ids_and_kinds_are_not_masked(captured):
    """Ids, kinds and names of models stay readable under the harshest mask."""
    sid = lai.init("x", masking_function=lambda _: "*")
    lai.create_event(model="gpt-4o-mini", description="d")
    lai.end_event()

    event = captured.named("event").attributes

    assert (sid, "LLM", "gpt-4o-mini", "*") == (
        event["session.id"],
        event["openinference.span.kind"],
        event["llm.model_name"],
        event["input.value"],
    )


def test_openinferences_hide_settings_are_honoured(captured, monkeypatch):
    """OPENINFERENCE_HIDE_INPUTS and _OUTPUTS leave no content on any span."""
    monkeypatch.setenv("OPENINFERENCE_HIDE_INPUTS", "true")
    monkeypatch.setenv("OPENINFERENCE_HIDE_OUTPUTS", "true")
    lai.init("x")
    in_adapter_span(SECRET)
    in_steps(SECRET)
    with trace.get_tracer("t").start_as_current_span(
        "s", attributes={"input.value": SECRET, "output.value": SECRET}
    ):
        pass

    written = [
        str(
            (
                dict(span.attributes),
                span.status.description,
                [dict(event.attributes) for event in span.events],
            )
        )
        for span in captured.spans
    ]
    # What user code puts under a key of its own is no input or output to OpenInference.
    assert SECRET not in "".join(written).replace(f"'by.user.code': '{SECRET}'", "").replace(
        f"'more': '{SECRET}'", ""
    ).replace(f"'text': '{SECRET}'", "")


def test_suppress_tracing_suppresses_everything(captured):
    """Inside suppress_tracing nothing is recorded: no plain span, no adapter's, no step's."""
    lai.init("x")
    with suppress_tracing():
        in_plain_span("x")
        in_adapter_span("x")
        in_decorators("x")

    assert [] == captured.spans


@pytest.mark.parametrize("bracket", ["[", '{"a":'])
def test_text_that_opens_endless_json_is_masked_and_kept(captured, bracket):
    """A text nested deeper than a parser can follow is masked as text, and its span is not lost."""
    lai.init("x", masking_function=hide)
    trace.get_tracer("t").start_span("s", attributes={"input.value": bracket * 100_000 + SECRET}).end()

    assert captured.named("s").attributes["input.value"].endswith("[hidden]")


def test_numbers_in_json_text_are_masked(captured):
    """A secret that is a number in JSON text is as much text as one in quotes; other numbers stay numbers."""
    lai.init("x", masking_function=lambda text: text.replace("4111", "****"))
    trace.get_tracer("t").start_span(
        "s", attributes={"input.value": '{"card": 41115555, "on": true, "x": 1.5}'}
    ).end()

    assert {"card": "****5555", "on": True, "x": 1.5} == json.loads(
        captured.named("s").attributes["input.value"]
    )
