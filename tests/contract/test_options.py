"""The options of the three handlers: the same names with the same meaning."""

from __future__ import annotations

import asyncio
from dataclasses import fields

import pytest
from openinference.instrumentation import suppress_tracing
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.attribution.jobs import Mark
from tests.attribution.workloads_agents import OpenAIAgents, PydanticAI
from tests.attribution.workloads_langchain import AgentWithTools

import lucidic as lai
from lucidic.adapterkit import AdapterOptions
from lucidic.errors import InvalidSessionIDError
from lucidic.langchain import LucidicHandler
from lucidic.openai_agents import LucidicTracingProcessor
from lucidic.pydantic_ai import LucidicInstrumentation
from lucidic.testing import capture_spans, session_id_of


HANDLERS = (LucidicHandler, LucidicTracingProcessor, LucidicInstrumentation)
WORKLOADS = {"langchain": AgentWithTools, "pydantic_ai": PydanticAI, "openai_agents": OpenAIAgents}
MARK = Mark("user_0001_conv_0001", 0)


def text_of(captured):
    return " ".join(
        str(part)
        for span in captured.spans
        for part in (span.name, dict(span.attributes), [dict(event.attributes) for event in span.events])
    )


def run(name, prompt, *, named=None, **options):
    """Run a workload with its adapter under options, without plain spans' content in the way."""
    workload = WORKLOADS[name]()
    with capture_spans() as captured:
        if name == "openai_agents":
            from agents import set_trace_processors

            set_trace_processors([])
        with lai.instrument(name, **options):
            asyncio.run(workload.arun(prompt, **(named or {})))
    return captured


def adapters_spans(captured):
    return [span for span in captured.spans if span.instrumentation_scope.name != "user"]


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: handler.__name__)
def test_every_handler_takes_every_option(handler, captured):
    """Each of the common options is accepted by each handler, by the same name."""
    given = {"session_id": "user_0001_given_id", "session_keys": ("thread_id",), "session_from": "framework"}
    given |= {"capture_content": False, "mask": str.upper, "tracer_provider": None}

    assert {field.name for field in fields(AdapterOptions)} == set(given)
    handler(**given)


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: handler.__name__)
def test_every_handler_refuses_a_bad_session_id(handler, captured):
    """An empty id is refused by each handler with the same error."""
    with pytest.raises(InvalidSessionIDError):
        handler(session_id="")


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_handlers_own_id_outranks_the_block(name):
    """session_id= on the handler is the session of its spans, whatever is bound."""
    with lai.bind_session("user_0001_bound_block"):
        captured = run(name, str(MARK), session_id="user_0002_given_id")

    assert {"user_0002_given_id"} == {session_id_of(span) for span in captured.spans}


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_mask_is_applied_to_every_text(name):
    """What the mask takes out is nowhere on the adapter's spans."""
    captured = run(name, f"{MARK} the secret is plover", mask=lambda text: text.replace("plover", "*"))
    captured.spans = adapters_spans(captured)

    assert captured.spans
    assert "plover" not in text_of(captured)
    assert "the secret is *" in text_of(captured)


@pytest.mark.parametrize("name", WORKLOADS)
def test_content_can_be_left_out(name):
    """capture_content=False leaves every word of the conversation out, and the spans in."""
    captured = run(name, f"{MARK} the secret is plover", capture_content=False)
    captured.spans = adapters_spans(captured)

    assert captured.spans
    assert "plover" not in text_of(captured)


@pytest.mark.parametrize("name", WORKLOADS)
def test_session_keys_say_what_names_a_session(name):
    """session_keys= are the only keys of the metadata that name a session, and in this order."""
    key = next(key for key in WORKLOADS[name].keys if key.endswith("metadata.session_id")).rpartition(".")[0]

    for given, expected in (
        ({"thread_id": "user_0001_by_thread", "session_id": "user_0002_by_key"}, "user_0001_by_thread"),
        ({"session_id": "user_0002_by_key"}, None),
    ):
        named = {f"{key}.{each}": value for each, value in given.items()}
        captured = run(name, str(MARK), named=named, session_keys=("thread_id", "conversation_id"))
        assert {expected} == {session_id_of(span) for span in captured.spans}


@pytest.mark.parametrize("name", WORKLOADS)
def test_session_from_on_the_handler_turns_the_order_round_for_its_runs(name):
    """session_from="framework" on a handler lets the id in the data win over the block, for what it traces."""
    key = WORKLOADS[name].keys[0]
    with lai.bind_session("user_0001_bound_block"):
        captured = run(name, str(MARK), named={key: "user_0002_named_in_data"}, session_from="framework")

    assert {"user_0002_named_in_data"} == {session_id_of(span) for span in captured.spans}


@pytest.mark.parametrize("name", WORKLOADS)
def test_tracer_provider_says_where_the_spans_are_made(name):
    """tracer_provider= gets the adapter's spans, with their session, whatever the global one is."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with lai.bind_session("user_0001_bound_block"):
        captured = run(name, str(MARK), tracer_provider=provider)
    made = exporter.get_finished_spans()

    assert len(adapters_spans(captured)) == len(made) > 0
    assert {"user_0001_bound_block"} == {session_id_of(span) for span in made}


@pytest.mark.parametrize(
    "settings",
    [{"masking_function": lambda text: text.replace("plover", "*")}, {"capture_content": False}],
    ids=["mask", "no content"],
)
def test_what_the_process_hides_is_on_no_span_of_any_framework(workload, settings):
    """The mask and the choice of init() hold for every adapter, also where all of them are in one trace."""
    with capture_spans(**settings) as captured, workload.instrumented():
        asyncio.run(workload.arun(f"{MARK} the secret is plover"))
    if "capture_content" in settings:
        captured.spans = adapters_spans(captured)  # what plain code puts on its spans is not ours to know

    assert captured.spans
    assert "plover" not in text_of(captured)


def test_suppressed_work_leaves_no_span(traced, captured):
    """Under suppress_tracing() no adapter makes a span, and the work is done all the same."""
    with suppress_tracing():
        asyncio.run(traced.arun(str(MARK)))

    assert [] == captured.spans
