"""What must not be seen is not seen, in any attribute, event, status or name."""

from __future__ import annotations

import json

import pytest
from opentelemetry import context as otel_context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY
from opentelemetry.instrumentation.utils import suppress_instrumentation
from pydantic_ai import Agent, BinaryContent
from pydantic_ai.models.instrumented import InstrumentationSettings

import lucidic as lai
from lucidic.testing import capture_spans


SECRET = "hunter2"


def everything_in(captured):
    """Return all that is exported, as one text."""
    return json.dumps(
        [
            (
                span.name,
                dict(span.attributes),
                span.status.description,
                [(event.name, dict(event.attributes)) for event in span.events],
            )
            for span in captured.spans
        ],
        default=str,
    )


@pytest.fixture
def tell(script, call):
    """Run an agent that handles a secret everywhere: words, tools, errors, metadata, instructions."""

    def run():
        agent = Agent(
            script([call("look", place=SECRET)], f"It is {SECRET}."),
            name="keeper",
            instructions=f"Keep {SECRET}.",
            metadata={"note": SECRET},
        )

        @agent.tool_plain
        def look(place: str) -> dict[str, str]:
            """Look."""
            return {"found": SECRET}

        agent.run_sync(["Where is", SECRET, BinaryContent(SECRET.encode(), media_type="image/png")])
        failing = Agent(script([call("fail")]), name="failing")

        @failing.tool_plain
        def fail() -> str:
            raise ValueError(SECRET)

        with pytest.raises(ValueError, match=SECRET):
            failing.run_sync(SECRET)

    return run


def test_the_secret_is_there_without_any_setting(traced, tell):
    """The scenario does carry the secret: the tests below would find it."""
    tell()
    assert everything_in(traced).count(SECRET) > 10


@pytest.mark.parametrize(
    "variables", [{"OPENINFERENCE_HIDE_INPUTS": "true", "OPENINFERENCE_HIDE_OUTPUTS": "true"}]
)
def test_openinferences_variables(monkeypatch, tell, variables):
    """OPENINFERENCE_HIDE_* hide content wherever it stands."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with capture_spans() as captured, lai.instrument("pydantic_ai"):
        tell()
    assert SECRET not in everything_in(captured)
    assert len(captured.spans) == 7


def test_capture_content_off(captured, tell):
    """capture_content=False leaves content out, and keeps names, ids and tokens."""
    with lai.instrument("pydantic_ai", capture_content=False):
        tell()
    assert SECRET not in everything_in(captured)
    chat = next(dict(span.attributes) for span in captured.spans if span.name == "chat scripted")
    assert chat["llm.model_name"]
    assert chat["llm.token_count.prompt"] > 0


def test_include_content_of_the_settings_before(captured, tell):
    """Settings given to Agent.instrument_all() before keep their word about content."""
    Agent.instrument_all(InstrumentationSettings(include_content=False))
    try:
        with lai.instrument("pydantic_ai"):
            tell()
    finally:
        Agent.instrument_all(False)
    assert captured.spans
    assert SECRET not in everything_in(captured)


def test_include_binary_content_of_the_settings_before(captured, script):
    """include_binary_content=False leaves the bytes out and says that there were some."""
    Agent.instrument_all(InstrumentationSettings(include_binary_content=False))
    try:
        with lai.instrument("pydantic_ai"):
            Agent(script("nice")).run_sync(["look", BinaryContent(b"png", media_type="image/png")])
    finally:
        Agent.instrument_all(False)
    assert "cG5n" not in everything_in(captured)
    chat = dict(captured.named("chat scripted").attributes)
    assert "image/png" in chat["llm.input_messages.0.message.contents.1.message_content.text"]


def test_a_mask(tell):
    """A mask is applied to every text, in names of nothing and in everything else."""
    with (
        capture_spans(masking_function=lambda text: text.replace(SECRET, "***")) as captured,
        lai.instrument("pydantic_ai"),
    ):
        tell()
    shown = everything_in(captured)
    assert SECRET not in shown
    assert shown.count("***") > 10


def test_a_mask_of_one_instrumentation(captured, tell):
    """The mask of the instrumentation itself outranks the process's."""
    with lai.instrument("pydantic_ai", mask=lambda text: text.replace(SECRET, "###")):
        tell()
    assert SECRET not in everything_in(captured)


def test_suppressed(traced, script, call):
    """Inside suppress_instrumentation there are no spans, and the run is as ever."""
    agent = Agent(script([call("look")], "done", "again"), name="quiet")

    @agent.tool_plain
    def look() -> str:
        return "seen"

    with suppress_instrumentation():
        assert agent.run_sync("go").output == "done"
    assert traced.spans == []
    assert otel_context.get_value(_SUPPRESS_INSTRUMENTATION_KEY) is None
    agent.run_sync("go")
    assert [span.name for span in traced.spans] == ["chat scripted", "invoke_agent quiet"]


@pytest.mark.parametrize(
    "result",
    [{"a": None}, {"n": float("nan")}, "\ud83d lone", b"\xff\x00", {1: {2: [None]}}, "x" * 100_000, None],
)
def test_odd_results_of_tools(traced, script, call, result):
    """Whatever a tool returns becomes attribute values that OTLP takes."""
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    agent = Agent(script([call("look")], "done"), name="odd")

    @agent.tool_plain
    def look() -> object:
        return result

    agent.run_sync("go")
    encode_spans(traced.spans).SerializeToString()
    assert all(
        isinstance(value, str | bool | int | float | tuple | list)
        for span in traced.spans
        for value in span.attributes.values()
    )
