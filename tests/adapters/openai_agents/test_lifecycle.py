"""From the first span to the last: pauses, cancelled streams, flushes, forks, switching on and off."""

from __future__ import annotations

import asyncio
import json
import logging
import os

import agents
import pytest
from agents import RunConfig, Runner, RunState, custom_span, function_tool, trace
from agents.run import AgentRunner
from opentelemetry import trace as otel_trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import lucidic as lai
from lucidic.openai_agents import LucidicTracingProcessor, instrument
from lucidic.testing import Reply, ToolCall, assert_openinference


ORIGINAL = (AgentRunner.__dict__["run"], AgentRunner.__dict__["run_streamed"])


@function_tool(needs_approval=True)
def pay() -> str:
    """Pay."""
    return "paid"


PAY = [Reply(tool_calls=(ToolCall("pay"),)), "Paid."]


def assert_all_ended(captured):
    assert len(captured.started) == len(captured.spans)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_paused_run_goes_on_in_its_trace(traced, scripted, streamed, sqlite):
    """Approval in the same process: the rest of the run is in the same trace and session, nothing is lost."""
    agent = scripted(PAY).agent(tools=[pay])
    first = await Runner.run(agent, "Pay it", conversation_id=None, session=sqlite("s-1"))
    paused = traced.named("Agent workflow")
    assert "Waiting for approval: pay" == paused.attributes["output.value"]
    before = len(traced.spans)
    state = first.to_state()
    state.approve(first.interruptions[0])
    if streamed:
        async for _ in Runner.run_streamed(agent, state).stream_events():
            pass
    else:
        await Runner.run(agent, state)
    rest = traced.spans[before:]
    assert {"run Agent workflow", "Guide", "pay", "turn 2", "response"} <= {span.name for span in rest}
    assert {paused.context.trace_id} == {span.context.trace_id for span in traced.spans}
    assert {"s-1"} == {span.attributes["session.id"] for span in traced.spans}
    resumed = next(span for span in rest if span.name == "run Agent workflow")
    assert ("Pay it", "Paid.") == (resumed.attributes["input.value"], resumed.attributes["output.value"])
    assert paused.context.span_id == resumed.parent.span_id


async def test_a_paused_run_goes_on_in_another_process(captured, scripted):
    """From JSON, without any binding: the session comes from what was restored, the trace from its id."""
    made = scripted(PAY)
    agent = made.agent(tools=[pay])
    undo = instrument()
    first = await Runner.run(agent, "Pay it", run_config=RunConfig(group_id="g-1"))
    undo()
    stored = json.dumps(first.to_state().to_json())
    (trace_id,) = {span.context.trace_id for span in captured.spans}
    captured.clear()
    agents.tracing.traces._started_trace_ids.clear()  # what another process has not seen
    undo = instrument()
    state = await RunState.from_json(agent, json.loads(stored))
    state.approve(state.get_interruptions()[0])
    await Runner.run(agent, state)
    undo()
    assert {("g-1", trace_id)} == {(s.attributes["session.id"], s.context.trace_id) for s in captured.spans}
    root = captured.named("Agent workflow").attributes
    assert ("Pay it", "Paid.") == (root["input.value"], root["output.value"])


async def test_a_resumed_run_in_another_block_is_linked(traced, scripted):
    """One trace, one session: a run that is resumed inside another session's block starts a linked trace."""
    agent = scripted(PAY).agent(tools=[pay])
    first = await Runner.run(agent, "Pay it", run_config=RunConfig(group_id="g-1"))
    paused = traced.named("Agent workflow")
    state = first.to_state()
    state.approve(first.interruptions[0])
    with lai.bind_session("other"):
        await Runner.run(agent, state)
    resumed = next(s for s in traced.spans if s.attributes["session.id"] == "other" and s.parent is None)
    assert paused.context.span_id in [link.context.span_id for link in resumed.links]
    assert paused.context.trace_id != resumed.context.trace_id


class Held:
    """A script whose answer waits until the test lets it go."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.asked = asyncio.Event()
        self.open = __import__("threading").Event()

    def __call__(self, _request):
        self.loop.call_soon_threadsafe(self.asked.set)
        return Reply(text="late", gate=self.open)


async def test_a_cancelled_run_says_so(traced, scripted):
    """``task.cancel()``: every span ends, and the root is cancelled, neither OK nor failed."""
    held = Held()
    task = asyncio.create_task(Runner.run(scripted(held).agent(), "Hi"))
    await held.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    held.open.set()
    assert_all_ended(traced)
    for span in traced.spans:
        assert (True, StatusCode.UNSET) == (span.attributes.get("lucidic.cancelled"), span.status.status_code)


async def test_a_cancelled_stream_says_so(traced, scripted):
    """``result.cancel()``: every span ends, and the root is cancelled."""
    held = Held()
    result = Runner.run_streamed(scripted(held).agent(), "Hi")
    await held.asked.wait()
    result.cancel()
    async for _ in result.stream_events():
        pass
    held.open.set()
    await asyncio.gather(result.run_loop_task, return_exceptions=True)
    assert_all_ended(traced)
    assert traced.named("Agent workflow").attributes["lucidic.cancelled"] is True
    assert StatusCode.OK is not traced.named("Agent workflow").status.status_code


async def test_a_stream_that_is_left_early_ends(traced, scripted):
    """A consumer that breaks off: the run goes on in the background and every span ends."""
    result = Runner.run_streamed(scripted().agent(), "Hi")
    async for _ in result.stream_events():
        break
    await asyncio.gather(result.run_loop_task, return_exceptions=True)
    assert_all_ended(traced)
    assert traced.named("Agent workflow")


def test_a_loop_that_closes_over_a_stream_loses_nothing(traced):
    """``asyncio.run`` that returns with a live stream cancels it: its spans end."""
    testing = pytest.importorskip("agents.testing", reason="this SDK has no test doubles for models")
    asked = asyncio.Event()

    async def hang(_call):
        asked.set()
        await asyncio.Event().wait()

    async def main():
        model = testing.ScriptedModel([testing.ModelStep(responder=hang)])
        result = Runner.run_streamed(agents.Agent("Guide", model=model), "Hi")
        await asked.wait()
        return result

    asyncio.run(main())
    assert_all_ended(traced)
    assert traced.named("Agent workflow").attributes["lucidic.cancelled"] is True


async def test_flush_traces_delivers(scripted, captured):
    """``agents.flush_traces()`` exports what a batch processor would keep for a minute."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=60_000))
    undo = instrument(tracer_provider=provider)
    await Runner.run(scripted().agent(), "Hi")
    assert () == exporter.get_finished_spans()
    agents.flush_traces()
    assert 5 == len(exporter.get_finished_spans())
    undo()
    provider.shutdown()


def test_shutting_the_sdk_down_delivers(captured):
    """The SDK's own shutdown, at exit, flushes within its timeout."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=60_000))
    processor = LucidicTracingProcessor(tracer_provider=provider)
    agents.add_trace_processor(processor)
    with trace("flow"):
        pass
    processor.shutdown(timeout=5.0)
    assert ["flow"] == [span.name for span in exporter.get_finished_spans()]
    provider.shutdown()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no os.fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_worker_traces_on(tmp_path):
    """A child that was forked inside a workflow records its own spans, and they reach the store."""
    read, write = os.pipe()
    with lai.instrument("openai_agents"), trace("parent", group_id="g-fork"):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                with custom_span("in the child"):
                    pass
                lai.flush(5.0)
                os.write(write, b"done")
                status = 0
            finally:
                os._exit(status)
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(write)
    assert b"done" == os.read(read, 10)
    os.close(read)
    lai.flush(5.0)
    from lucidic._export import Store
    from lucidic._runtime import runtime

    store = Store(runtime().settings.home)
    store.catch_up()
    names = {span.name for span in store.spans("g-fork")}
    store.close()
    assert {"parent", "in the child"} <= names


async def test_removing_leaves_no_trace(captured, scripted):
    """After ``remove()`` the runner and the processors are what they were; twice is harmless."""
    handle = lai.instrument("openai_agents")
    again = lai.instrument("openai_agents")
    await Runner.run(scripted().agent(), "Hi")
    handle.remove()
    again.remove()
    again.remove()
    assert ORIGINAL == (AgentRunner.__dict__["run"], AgentRunner.__dict__["run_streamed"])
    assert () == agents.tracing.get_trace_provider()._multi_processor._processors
    count = len(captured.spans)
    await Runner.run(scripted().agent(), "Hi")
    assert 5 == count == len(captured.spans)


@pytest.mark.parametrize("first", ["by hand", "instrument"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_processor_added_by_hand_makes_the_spans_once(captured, scripted, first, streamed):
    """Beside ``instrument()`` nothing is there twice: the options chosen by hand hold, and all is told."""

    @function_tool(failure_error_function=None)
    def weather() -> str:
        raise LookupError("no such city")

    if first == "instrument":
        undo = instrument()
    by_hand = LucidicTracingProcessor(session_id="by-hand-1")
    agents.add_trace_processor(by_hand)
    if first != "instrument":
        undo = instrument()

    async def run():
        agent = scripted([Reply(tool_calls=(ToolCall("weather"),))]).agent(tools=[weather])
        with pytest.raises(Exception, match="no such city"):
            if not streamed:
                await Runner.run(agent, "Hi")
            else:
                async for _ in Runner.run_streamed(agent, "Hi").stream_events():
                    pass
        names = [span.name for span in captured.spans]
        events = [event.attributes["exception.type"] for event in captured.named("weather").events]
        ids = {span.attributes["session.id"] for span in captured.spans}
        captured.clear()
        return sorted(names), events, ids

    names, events, ids = await run()
    undo()
    assert (["LookupError"], {"by-hand-1"}) == (events, ids)
    assert len(names) == len(set(names)) == len((await run())[0])


async def test_removing_during_a_run_lets_it_end(captured, scripted):
    """A run that is under way when we are removed is recorded to its end; the next one is not."""
    held = Held()
    undo = instrument()
    running = asyncio.create_task(Runner.run(scripted(held).agent(), "Hi"))
    await held.asked.wait()
    undo()
    held.open.set()
    await running
    assert 5 == len(captured.spans)
    assert "late" == captured.named("Agent workflow").attributes["output.value"]
    assert () == agents.tracing.get_trace_provider()._multi_processor._processors


async def test_instrumenting_during_a_run_makes_no_orphans(captured, scripted):
    """What is left of a run that started before us hangs below one root."""
    undo = []

    @function_tool(name_override="pay")
    def switch_on() -> str:
        undo.append(instrument())
        return "on"

    config = RunConfig(group_id="g-late-0001")
    await Runner.run(scripted(PAY).agent(tools=[switch_on]), "Pay it", run_config=config)
    undo[0]()
    assert {"Agent workflow", "turn 2", "response"} == {span.name for span in captured.spans}
    assert_openinference(captured.spans)


@pytest.mark.parametrize("how", ["globally", "by the run", "streamed"])
async def test_disabled_tracing_is_respected_and_told_once(traced, scripted, caplog, how):
    """No span at all, and one clear hint however many runs there are."""
    caplog.set_level(logging.WARNING, "lucidic")
    if how == "globally":
        agents.set_tracing_disabled(True)
    config = RunConfig(tracing_disabled=how != "globally")
    for _ in range(3):
        if how == "streamed":
            async for _ in Runner.run_streamed(scripted().agent(), "Hi", run_config=config).stream_events():
                pass
        else:
            await Runner.run(scripted().agent(), "Hi", run_config=config)
    assert [] == traced.started
    (record,) = caplog.records
    assert "tracing is disabled" in record.message


async def test_being_replaced_is_told_once(traced, scripted, caplog):
    """A later ``set_trace_processors`` removes us: one warning says so."""
    agents.set_trace_processors([])
    for _ in range(2):
        await Runner.run(scripted().agent(), "Hi")
    (record,) = [record for record in caplog.records if record.name == "lucidic"]
    assert "set_trace_processors() has removed" in record.message


async def test_instrumenting_again_brings_back_what_was_replaced(captured, scripted):
    """What the warning advises works: after other processors replaced ours, a second call registers it again."""
    with lai.instrument("openai_agents"):
        agents.set_trace_processors([])
        with lai.instrument("openai_agents"):
            await Runner.run(scripted().agent(), "Hi")
        assert captured.named("Agent workflow").parent is None


async def test_the_uploader_of_openai_is_not_touched(captured, scripted):
    """We add ourselves and send nothing to OpenAI; what is registered stays as it was."""
    before = agents.tracing.get_trace_provider()._multi_processor._processors
    undo = instrument()
    assert before == agents.tracing.get_trace_provider()._multi_processor._processors[:-1]
    undo()
    assert before == agents.tracing.get_trace_provider()._multi_processor._processors


async def test_runs_without_task_and_turn_spans_are_whole(traced, scripted):
    """``include_task_and_turn_spans=False``: agents hang below the workflow, which reads as always."""
    config = RunConfig(tracing={"include_task_and_turn_spans": False}, group_id="g-no-tasks")
    await Runner.run(scripted(["Hello."]).agent(), "Hi", run_config=config)
    assert ["response", "Guide", "Agent workflow"] == [span.name for span in traced.spans]
    root = traced.named("Agent workflow").attributes
    assert ("Hi", "Hello.") == (root["input.value"], root["output.value"])
    assert_openinference(traced.spans, level="warning")


def test_the_current_span_is_the_callers_again_after_a_workflow(captured):
    """After ``trace()`` the caller's own span is current again."""
    agents.add_trace_processor(LucidicTracingProcessor())
    with otel_trace.get_tracer("user").start_as_current_span("mine") as mine:
        with trace("flow"):
            assert mine is not otel_trace.get_current_span()
        assert mine is otel_trace.get_current_span()
