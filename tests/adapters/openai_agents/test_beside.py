"""Other tracers among the SDK's processors: whoever comes first, whoever replaces the list."""

from __future__ import annotations

import agents
import pytest
from agents import Runner, TracingProcessor, function_tool
from agents.tracing import get_trace_provider
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import lucidic as lai
from lucidic.testing import Reply, ToolCall


CALL = Reply(tool_calls=(ToolCall("look"),))


class Theirs(TracingProcessor):
    """Makes spans as OpenInference's processor does: parents of its own, each attached while it is open."""

    def __init__(self, provider):
        self.tracer = provider.get_tracer("openinference.instrumentation.openai_agents")
        self.open = {}

    def on_trace_start(self, trace):
        self.open[trace.trace_id] = (self.tracer.start_span(trace.name), None)

    def on_trace_end(self, trace):
        self.open.pop(trace.trace_id)[0].end()

    def on_span_start(self, span):
        above = self.open.get(span.parent_id or span.trace_id)
        if above is None:
            return
        made = self.tracer.start_span(span.span_data.type, trace.set_span_in_context(above[0]))
        self.open[span.span_id] = (made, otel_context.attach(trace.set_span_in_context(made)))

    def on_span_end(self, span):
        made, token = self.open.pop(span.span_id, (None, None))
        if made is not None:
            otel_context.detach(token)
            made.end()

    def shutdown(self):
        pass

    force_flush = shutdown


@pytest.fixture
def provider():
    made = TracerProvider(shutdown_on_exit=False)
    made.exporter = InMemorySpanExporter()
    made.add_span_processor(SimpleSpanProcessor(made.exporter))
    return made


def tool_of(provider):
    @function_tool
    def look() -> str:
        """Look."""
        with provider.get_tracer("users-code").start_as_current_span("user's"):
            return "seen"

    return look


def paths(spans, *scopes):
    by_id = {span.context.span_id: span for span in spans}

    def path(span):
        above = by_id.get(span.parent.span_id) if span.parent else None
        return [*(path(above) if above else ()), span.name]

    return sorted("/".join(path(span)) for span in spans if span.instrumentation_scope.name in scopes)


OURS = [
    "Agent workflow",
    "Agent workflow/run Agent workflow",
    "Agent workflow/run Agent workflow/Guide",
    "Agent workflow/run Agent workflow/Guide/turn 1",
    "Agent workflow/run Agent workflow/Guide/turn 1/look",
    "Agent workflow/run Agent workflow/Guide/turn 1/look/user's",
    "Agent workflow/run Agent workflow/Guide/turn 1/response",
    "Agent workflow/run Agent workflow/Guide/turn 2",
    "Agent workflow/run Agent workflow/Guide/turn 2/response",
]


@pytest.mark.parametrize("streamed", [False, True], ids=["run", "streamed"])
@pytest.mark.parametrize("order", ["before", "after", "instead"])
async def test_each_has_its_own_tree(captured, scripted, provider, order, streamed):
    """Before us, after us or in our place: ours is the tree it is alone, and so is theirs, run after run."""
    theirs = Theirs(provider)
    if order == "before":
        agents.add_trace_processor(theirs)
    with lai.instrument("openai_agents", tracer_provider=provider):
        if order == "after":
            agents.add_trace_processor(theirs)
        if order == "instead":
            agents.set_trace_processors([theirs])
        for _ in range(2):
            captured.clear()
            provider.exporter.clear()
            agent = scripted([CALL, "Done."]).agent(tools=[tool_of(provider)])
            if streamed:
                async for _ in Runner.run_streamed(agent, "Go").stream_events():
                    pass
            else:
                await Runner.run(agent, "Go")
            assert OURS == paths(captured.spans, "lucidic.openai_agents", "users-code")
            assert len(captured.started) == len(captured.spans)
            assert trace.get_current_span() is trace.INVALID_SPAN
            found = paths(provider.exporter.get_finished_spans(), theirs.tracer._instrumentation_scope.name)
            assert 8 == len(found)
            assert 2 == len([path for path in found if path.endswith("task/agent/turn/response")])
    assert (theirs,) == get_trace_provider()._multi_processor._processors


async def test_a_workflow_that_began_before_we_joined_is_whole(captured, scripted, provider):
    """Where the list was replaced, ``trace()`` around runs is joined with its first run, and ends with its end."""
    with lai.instrument("openai_agents"):
        agents.set_trace_processors([Theirs(provider)])
        with agents.trace("Evening"):
            await Runner.run(scripted(["One."]).agent(), "Hi")
            await Runner.run(scripted(["Two."]).agent(), "Hi")
    assert captured.named("Evening").parent is None
    assert 2 == len([span for span in captured.spans if span.name == "response"])
    assert 1 == len({span.context.trace_id for span in captured.spans})


async def test_once_removed_we_do_not_come_back(captured, scripted, provider):
    """After ``remove()`` another tracer's list stays as it is."""
    theirs = Theirs(provider)
    with lai.instrument("openai_agents"):
        pass
    agents.set_trace_processors([theirs])
    await Runner.run(scripted(["Done."]).agent(), "Go")
    assert [] == captured.spans
    assert (theirs,) == get_trace_provider()._multi_processor._processors


def test_the_list_without_any_processor_is_the_users_word(captured, scripted):
    """``set_trace_processors([])`` switches tracing off, ours as well: nobody else could have meant it."""
    with lai.instrument("openai_agents"):
        agents.set_trace_processors([])
        assert () == get_trace_provider()._multi_processor._processors
