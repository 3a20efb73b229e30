"""Several processors of ours at once: a run is one tree, and its tokens count once."""

from __future__ import annotations

import agents
import pytest
from agents import Runner, custom_span, function_tool, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from lucidic.openai_agents import LucidicTracingProcessor, instrument
from lucidic.testing import Reply, ToolCall


CALL = Reply(tool_calls=(ToolCall("work"),))
WHOLE = ["Agent workflow", "Guide", "response", "response", "run Agent workflow", "turn 1", "turn 2", "work"]


@function_tool
def work() -> str:
    """Work."""
    raise LookupError("no work")


def names(spans):
    return sorted(span.name for span in spans)


@pytest.mark.parametrize("first", ["instrument", "by hand"])
async def test_a_processor_added_by_hand_and_instrument_make_one_tree(captured, scripted, first):
    """Whichever came first, the one added by hand makes the spans, with all that the wrapped runner knows."""
    if first == "instrument":
        undo = instrument()
    agents.add_trace_processor(LucidicTracingProcessor(session_id="by-hand"))
    if first == "by hand":
        undo = instrument()
    await Runner.run(scripted([CALL, "Done."]).agent(tools=[work]), "Go")
    undo()
    assert WHOLE == names(captured.spans)
    assert {"by-hand"} == {span.attributes["session.id"] for span in captured.spans}
    assert "Done." == captured.named("Agent workflow").attributes["output.value"]
    assert "LookupError: no work" == captured.named("work").status.description


async def test_two_processors_added_by_hand_make_one_tree(captured, scripted):
    """The one that was added first makes the spans, those of plain traces too."""
    for session_id in ("first", "second"):
        agents.add_trace_processor(LucidicTracingProcessor(session_id=session_id))
    with trace("flow"), custom_span("step"):
        await Runner.run(scripted(["Done."]).agent(), "Go")
    assert ["Guide", "flow", "response", "run Agent workflow", "step", "turn 1"] == names(captured.spans)
    assert {"first"} == {span.attributes["session.id"] for span in captured.spans}


async def test_once_the_other_is_removed_instrument_goes_on(captured, scripted):
    """A processor that was taken out of the SDK's list holds nobody back."""
    agents.add_trace_processor(LucidicTracingProcessor())
    undo = instrument()
    registered = agents.tracing.get_trace_provider()._multi_processor._processors
    agents.set_trace_processors([registered[-1]])
    await Runner.run(scripted([CALL, "Done."]).agent(tools=[work]), "Go")
    undo()
    assert WHOLE == names(captured.spans)


async def test_processors_of_two_providers_make_a_tree_each(captured, scripted):
    """Two destinations are two trees: neither holds back the other."""
    exported, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    agents.add_trace_processor(LucidicTracingProcessor(tracer_provider=provider))
    undo = instrument()
    await Runner.run(scripted([CALL, "Done."]).agent(tools=[work]), "Go")
    undo()
    assert WHOLE == names(exported.get_finished_spans())
