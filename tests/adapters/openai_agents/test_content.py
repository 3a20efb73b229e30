"""What the spans say: roots that read, model calls, tools, handoffs, guardrails, errors."""

from __future__ import annotations

import json

import agents
import pytest
from agents import (
    Agent,
    GuardrailFunctionOutput,
    InputGuardrail,
    InputGuardrailTripwireTriggered,
    MaxTurnsExceeded,
    ModelSettings,
    OutputGuardrail,
    RunConfig,
    Runner,
    custom_span,
    function_tool,
    handoff,
    trace,
)
from opentelemetry.trace import StatusCode
from pydantic import BaseModel

import lucidic as lai
from lucidic.openai_agents import instrument
from lucidic.testing import Reply, ToolCall, Usage, assert_openinference


WEATHER = Reply(
    tool_calls=(ToolCall("weather", {"city": "Rome"}, id="call_1"),), usage=Usage(prompt=20, completion=9)
)
SUNNY = Reply(text="It is sunny.", usage=Usage(prompt=40, completion=5, cached=16, reasoning=3))


@function_tool
def weather(city: str) -> str:
    """Tell the weather.

    Args:
        city: Where.
    """
    return f"sunny in {city}"


async def run(agent, words, *, streamed):
    if not streamed:
        await Runner.run(agent, words)
        return
    async for _ in Runner.run_streamed(agent, words).stream_events():
        pass


def spans_of(captured, kind):
    return [s for s in captured.spans if s.attributes["openinference.span.kind"] == kind]


def all_text(captured):
    """Return every attribute, event and status of every span as one text."""
    return json.dumps(
        [
            [s.name, dict(s.attributes), [dict(e.attributes) for e in s.events], s.status.description]
            for s in captured.spans
        ],
        default=str,
    )


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_run_with_a_tool_reads_and_is_well_formed(traced, scripted, chat, streamed):
    """Both APIs, streamed or not: words at the root, messages, tools, tokens and finish reasons below it."""
    made = scripted([WEATHER, SUNNY])
    agent = made.agent("Guide", chat=chat, instructions="Be brief.", tools=[weather])
    agent.model_settings = ModelSettings(include_usage=True, temperature=0.5)
    with lai.bind_session("s-content-0001"):
        await run(agent, "How is Rome?", streamed=streamed)
    assert_openinference(traced.spans, level="warning")
    root, (first, second) = traced.named("Agent workflow"), spans_of(traced, "LLM")
    for span in (root, traced.named("run Agent workflow"), traced.named("Guide")):
        assert ("How is Rome?", "It is sunny.") == (
            span.attributes["input.value"],
            span.attributes["output.value"],
        )
    assert ("tool_calls", "stop") == tuple(s.attributes["llm.finish_reason"] for s in (first, second))
    said = "llm.output_messages.0.message.tool_calls.0.tool_call."
    assert "call_1" == first.attributes[said + "id"]
    assert {"city": "Rome"} == json.loads(first.attributes[said + "function.arguments"])
    assert "It is sunny." == second.attributes["llm.output_messages.0.message.content"]
    assert (40, 5, 45, 16, 3) == tuple(
        second.attributes[f"llm.token_count.{name}"]
        for name in (
            "prompt",
            "completion",
            "total",
            "prompt_details.cache_read",
            "completion_details.reasoning",
        )
    )
    assert ("system", "Be brief.") == tuple(
        first.attributes[f"llm.input_messages.0.message.{name}"] for name in ("role", "content")
    )
    assert 0.5 == json.loads(first.attributes["llm.invocation_parameters"])["temperature"]
    schema = json.loads(first.attributes["llm.tools.0.tool.json_schema"])
    assert ("weather", ["city"]) == (schema["function"]["name"], schema["function"]["parameters"]["required"])
    assert 2 == traced.named("run Agent workflow").attributes["openai_agents.usage.requests"]


async def test_a_tools_span_has_its_call_its_schema_and_its_result(traced, scripted):
    """The id joins the run to the model's call; description and schema are the tool's own."""
    await Runner.run(scripted([WEATHER, SUNNY]).agent(tools=[weather]), "Rome?")
    tool = traced.named("weather").attributes
    assert ("call_1", "Tell the weather.", "sunny in Rome") == (
        tool["tool.id"], tool["tool.description"], tool["output.value"]
    )  # fmt: skip
    assert {"city": "Rome"} == json.loads(tool["input.value"]) == json.loads(tool["tool.parameters"])
    assert ["city"] == json.loads(tool["tool.json_schema"])["required"]


async def test_the_processor_alone_reads_as_well(bare, scripted):
    """Without the wrapper, roots read too: the input and the answer come from the model's calls."""
    with lai.bind_session("s-content-0002"):
        await Runner.run(scripted([WEATHER, SUNNY]).agent(tools=[weather]), "Rome?")
    assert_openinference(bare.spans, level="warning")
    root = bare.named("Agent workflow").attributes
    assert ("Rome?", "It is sunny.") == (root["input.value"], root["output.value"])


async def test_a_workflow_of_several_runs_has_the_first_words_and_the_last(traced, scripted):
    """``trace()`` around two runs reads from the first question to the last answer."""
    agent = scripted(["one", "two"]).agent()
    with trace("both"):
        await Runner.run(agent, "First?")
        await Runner.run(agent, "Second?")
    root = traced.named("both").attributes
    assert ("First?", "two") == (root["input.value"], root["output.value"])


async def test_structured_output_is_the_answer(traced, scripted):
    """A pydantic output is the root's output as JSON, and its schema is among the call's parameters."""

    class City(BaseModel):
        name: str

    await Runner.run(scripted(['{"name": "Rome"}']).agent(chat=True, output_type=City), "Where?")
    assert {"name": "Rome"} == json.loads(traced.named("Agent workflow").attributes["output.value"])
    (call,) = spans_of(traced, "LLM")
    asked = json.loads(call.attributes["llm.invocation_parameters"])["response_format"]["json_schema"]
    assert ["name"] == asked["schema"]["required"]
    assert "City" == traced.named("Guide").attributes["openai_agents.agent.output_type"]


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("wrapped", [True, False])
async def test_without_sensitive_data_there_is_no_content_and_there_are_tokens(
    captured, scripted, chat, wrapped
):
    """``trace_include_sensitive_data=False`` keeps content out of every span; tokens and model stay."""
    if wrapped:
        undo = instrument()
    else:
        agents.add_trace_processor(lai.openai_agents.LucidicTracingProcessor())
        undo = None
    made = scripted([WEATHER, SUNNY])
    guard = InputGuardrail(lambda *_: GuardrailFunctionOutput("SECRET-info", tripwire_triggered=False))
    agent = made.agent(chat=chat, instructions="SECRET-rule", tools=[weather], input_guardrails=[guard])
    await Runner.run(agent, "SECRET-Rome", run_config=RunConfig(trace_include_sensitive_data=False))
    if undo:
        undo()
    text = all_text(captured)
    assert not [word for word in ("SECRET", "sunny", "Rome") if word in text]
    last = spans_of(captured, "LLM")[-1].attributes
    assert (40, 5, "gpt-4.1") == tuple(
        last[f"llm.{name}"] for name in ("token_count.prompt", "token_count.completion", "model_name")
    )


async def test_content_can_be_left_out_by_our_own_option(captured, scripted):
    """``capture_content=False`` hides content, and leaves tokens, names and ids."""
    undo = instrument(capture_content=False)
    await Runner.run(scripted([WEATHER, SUNNY]).agent(instructions="SECRET", tools=[weather]), "Rome?")
    undo()
    assert not [word for word in ("SECRET", "sunny", "Rome") if word in all_text(captured)]
    assert 40 == spans_of(captured, "LLM")[-1].attributes["llm.token_count.prompt"]


async def test_a_mask_sees_every_text(captured, scripted):
    """``mask`` is applied to roots, messages, arguments and results."""
    undo = instrument(mask=lambda text: text.replace("Rome", "[city]"))
    await Runner.run(scripted([WEATHER, SUNNY]).agent(tools=[weather]), "Rome?")
    undo()
    assert "Rome" not in all_text(captured)
    assert "[city]?" == captured.named("Agent workflow").attributes["input.value"]


async def test_a_handoff_tells_both_agents_and_the_tool(traced, scripted):
    """From, to and the overridden tool name; the second agent is below the first in the graph."""
    made = scripted([Reply(tool_calls=(ToolCall("to_spec", id="call_h"),)), "Done."])
    spec = made.agent("Spec")
    await Runner.run(made.agent("Triage", handoffs=[handoff(spec, tool_name_override="to_spec")]), "Help")
    span = traced.named("handoff to Spec").attributes
    assert ("Triage", "Spec", "to_spec", "call_h") == tuple(
        span[name]
        for name in ("openai_agents.handoff.from", "openai_agents.handoff.to", "tool.name", "tool.id")
    )
    assert "Triage" == traced.named("Spec").attributes["graph.node.parent_id"]
    assert ["Spec"] == list(traced.named("Triage").attributes["openai_agents.agent.handoffs"])


def tripwire(*_args, **_kwargs):
    return GuardrailFunctionOutput({"reason": "no poems"}, tripwire_triggered=True)


def harmless(*_args, **_kwargs):
    return GuardrailFunctionOutput({"reason": "fine"}, tripwire_triggered=False)


async def test_guardrails_tell_their_side_and_their_result(traced, scripted):
    """Input and output guardrails say what they checked and what they found."""
    agent = scripted(["Done."]).agent(
        input_guardrails=[InputGuardrail(harmless, name="before")],
        output_guardrails=[OutputGuardrail(harmless, name="after")],
    )
    await Runner.run(agent, "Hi")
    before, after = traced.named("before").attributes, traced.named("after").attributes
    assert ("input", "Hi") == (before["openai_agents.guardrail.side"], before["input.value"])
    assert ("output", "Done.") == (after["openai_agents.guardrail.side"], after["input.value"])
    assert {"triggered": False, "output_info": {"reason": "fine"}} == json.loads(after["output.value"])


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tripwire_is_the_runs_error(traced, scripted, streamed):
    """The guardrail is marked as triggered, and the run and its workflow fail with the reason."""
    agent = scripted(["Done."]).agent(input_guardrails=[InputGuardrail(tripwire, name="wire")])
    with pytest.raises(InputGuardrailTripwireTriggered):
        await run(agent, "A poem", streamed=streamed)
    assert traced.named("wire").attributes["openai_agents.guardrail.triggered"] is True
    for name in ("Agent workflow", "run Agent workflow"):
        assert StatusCode.ERROR is traced.named(name).status.status_code
        assert "InputGuardrailTripwireTriggered" in traced.named(name).status.description


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_providers_error_is_everybodys_up_to_the_root(traced, scripted, chat, streamed):
    """A 500 fails the call, the turn, the agent, the run and the workflow; the exception is at both ends."""
    agent = scripted([Reply(status=500, error="out of coffee")]).agent(chat=chat)
    with pytest.raises(Exception, match="out of coffee"):
        await run(agent, "Hi", streamed=streamed)
    assert {StatusCode.ERROR} == {span.status.status_code for span in traced.spans}
    (call,) = spans_of(traced, "LLM")
    for span in (call, traced.named("Agent workflow")):
        (event,) = span.events
        assert "out of coffee" in event.attributes["exception.message"]
        assert "openai.InternalServerError" == event.attributes["exception.type"]
    assert "Hi" == call.attributes["llm.input_messages.0.message.content"] == call.attributes["input.value"]


async def test_too_many_turns_fail_the_run(traced, scripted):
    """``MaxTurnsExceeded`` is the error of agent, run and workflow."""
    agent = scripted(lambda _: WEATHER).agent(tools=[weather])
    with pytest.raises(MaxTurnsExceeded):
        await Runner.run(agent, "Rome?", max_turns=1)
    for name in ("Guide", "run Agent workflow", "Agent workflow"):
        assert "MaxTurnsExceeded" in traced.named(name).status.description


async def test_what_a_tool_raises_is_on_its_span(traced, scripted):
    """The SDK makes an answer of it and redacts it; the span has type and message, and the run goes on."""

    @function_tool(name_override="weather")
    def broken(city: str) -> str:
        raise LookupError(f"no weather in {city}")

    result = await Runner.run(scripted([WEATHER, "Sorry."]).agent(tools=[broken]), "Rome?")
    assert "Sorry." == result.final_output
    tool = traced.named("weather")
    assert (StatusCode.ERROR, "LookupError: no weather in Rome") == (
        tool.status.status_code,
        tool.status.description,
    )
    assert ["LookupError"] == [event.attributes["exception.type"] for event in tool.events]
    assert StatusCode.OK is traced.named("Agent workflow").status.status_code


async def test_what_a_tool_raises_is_hidden_with_the_rest(traced, scripted):
    """Without sensitive data the tool's error is told by its type alone."""

    @function_tool(name_override="weather")
    def broken(city: str) -> str:
        raise LookupError(f"SECRET {city}")

    config = RunConfig(trace_include_sensitive_data=False)
    await Runner.run(scripted([WEATHER, "Sorry."]).agent(tools=[broken]), "Rome?", run_config=config)
    assert "SECRET" not in all_text(traced)
    assert "LookupError" in traced.named("weather").status.description


async def test_results_of_any_kind_are_kept_and_bounded(traced, scripted):
    """Pydantic models, bytes and ten megabytes: the span is there, the run is not disturbed."""

    class City(BaseModel):
        name: str

    for value, part in (
        (City(name="Rome"), "Rome"),
        (b"\x00raw", "raw"),
        ("x" * 10_000_000, "xxx"),
        (None, None),
    ):
        tool = function_tool(lambda value=value: value, name_override="weather")
        tool.on_invoke_tool = _giving(value)
        await Runner.run(scripted([WEATHER, "Fine."]).agent(tools=[tool]), "Rome?")
        output = traced.named("weather").attributes.get("output.value")
        assert (part is None and output is None) or part in output
        assert output is None or len(output) < 5_000_000
        traced.clear()


def _giving(value):
    async def invoke(_context, _arguments):
        return value

    return invoke


async def test_the_provider_is_not_always_openai(traced, scripted):
    """``llm.system`` is the model's maker, whatever client is used."""
    made = scripted(["Hi."])
    await Runner.run(Agent("A", model=made.chat("claude-4-sonnet")), "Hi")
    (call,) = spans_of(traced, "LLM")
    assert "anthropic" == call.attributes["llm.system"]


def test_a_custom_span_keeps_its_data(traced):
    """The bag of a custom span is its metadata; ``input`` and ``output`` in it are the span's own."""
    with trace("flow"), custom_span("step", {"input": "a", "rows": 3}) as span:
        span.span_data.data["output"] = "b"
    found = traced.named("step").attributes
    assert ("a", "b", {"rows": 3}) == (
        found["input.value"],
        found["output.value"],
        json.loads(found["metadata"]),
    )
