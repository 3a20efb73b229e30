"""Where spans hang: below outer spans, above what user code opens, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextvars
import logging

import agents
import openai
import pytest
import wrapt
from agents import Runner, custom_span, function_tool, trace
from agents.tracing import get_current_trace
from opentelemetry import context as otel_context
from opentelemetry import trace as otel_trace
from opentelemetry.instrumentation.utils import is_instrumentation_enabled, suppress_instrumentation

import lucidic as lai
from lucidic.testing import Reply, ToolCall


CALL = Reply(tool_calls=(ToolCall("work"),))


def tracer():
    return otel_trace.get_tracer("user")


def parent_of(captured, span):
    return next((s for s in captured.spans if span.parent and s.context.span_id == span.parent.span_id), None)


@function_tool(name_override="work")
async def async_work() -> str:
    """Open a span of the user's own."""
    with tracer().start_as_current_span("mine"):
        return "done"


@function_tool(name_override="work")
def threaded_work() -> str:
    """Open a span of the user's own, in the thread that the SDK gives to plain functions."""
    with tracer().start_as_current_span("mine"):
        return "done"


@pytest.mark.parametrize("tool", [async_work, threaded_work])
@pytest.mark.parametrize("streamed", [False, True])
async def test_spans_of_tool_code_are_below_the_tool(traced, scripted, tool, streamed):
    """Async tools and tools in threads: the user's span has the tool as parent, and the session."""
    agent = scripted([CALL, "Done."]).agent(tools=[tool])
    if streamed:
        async for _ in Runner.run_streamed(agent, "Go", conversation_id="c-1").stream_events():
            pass
    else:
        await Runner.run(agent, "Go", conversation_id="c-1")
    mine = traced.named("mine")
    assert "work" == parent_of(traced, mine).name
    assert "c-1" == mine.attributes["session.id"]


async def test_a_workflow_nests_below_an_outer_span(traced, scripted):
    """An OpenTelemetry span around the run is the root's parent, in the same trace."""
    with tracer().start_as_current_span("request") as outer:
        await Runner.run(scripted().agent(), "Hi")
    root = traced.named("Agent workflow")
    assert outer.get_span_context().span_id == root.parent.span_id
    assert 1 == len({span.context.trace_id for span in traced.spans})


def test_user_spans_inside_a_workflow_are_below_it(traced):
    """Inside ``trace()`` and inside ``custom_span()``, the SDK's span is the parent."""
    with trace("flow"):
        with tracer().start_as_current_span("a"):
            pass
        with custom_span("step"), tracer().start_as_current_span("b"):
            pass
    assert "flow" == parent_of(traced, traced.named("a")).name
    assert "step" == parent_of(traced, traced.named("b")).name


def test_sdk_spans_inside_user_spans_nest_below_them(traced):
    """A user's span opened inside a workflow is the parent of what the SDK opens inside it."""
    with trace("flow"), tracer().start_as_current_span("between"), custom_span("step"):
        pass
    assert "between" == parent_of(traced, traced.named("step")).name
    assert "flow" == parent_of(traced, traced.named("between")).name


async def test_the_callers_context_is_the_same_after_a_run(traced, scripted):
    """After a run, a stream, an unconsumed stream and an error nothing of ours is current."""
    before = otel_context.get_current()
    made = scripted(lambda request: Reply(status=500) if "fail" in request.user_text else "Hi")
    await Runner.run(made.agent(), "Hi")
    async for _ in Runner.run_streamed(made.agent(), "Hi").stream_events():
        pass
    unread = Runner.run_streamed(made.agent(), "Hi")
    assert before == otel_context.get_current()
    await unread.run_loop_task
    with pytest.raises(openai.InternalServerError):
        await Runner.run(made.agent(), "fail")
    assert before == otel_context.get_current()


def test_a_span_that_is_not_made_current_catches_nothing(traced):
    """``span.start()`` without ``mark_as_current``: what follows is no child of it."""
    with trace("flow"):
        aside = custom_span("aside")
        aside.start()
        with tracer().start_as_current_span("mine"):
            pass
        aside.finish()
    assert "flow" == parent_of(traced, traced.named("mine")).name


async def test_a_generator_closed_elsewhere_leaves_no_word_in_the_log(traced, caplog):
    """An abandoned generator is closed by another task: no detach error, no span lost, nothing stale."""

    async def generate():
        with trace("abandoned"), custom_span("inside"):
            yield 1
            yield 2

    caplog.set_level(logging.DEBUG, "opentelemetry.context")
    before = otel_context.get_current()
    generator = generate()
    await anext(generator)
    await asyncio.create_task(_close(generator))
    assert {"abandoned", "inside"} == {span.name for span in traced.spans}
    with trace("next"):
        pass
    assert traced.named("next").parent is None
    assert before == otel_context.get_current()
    assert not [record for record in caplog.records if record.name == "opentelemetry.context"]


async def _close(generator):
    await generator.aclose()


async def abandon(**options):
    """Leave a generator that holds a workflow open, and have it closed elsewhere."""

    async def generate():
        with trace("abandoned", **options):
            yield 1

    generator = generate()
    await anext(generator)
    await asyncio.create_task(_close(generator))
    assert "abandoned" == get_current_trace().name


async def test_a_finished_trace_names_no_session_of_later_runs(either, scripted):
    """The group and the metadata of a workflow that was left behind are not those of the next run."""
    await abandon(group_id="theirs", metadata={"session_id": "theirs"})
    await Runner.run(scripted().agent(), "Hi")
    run = either.named("run Agent workflow").attributes
    assert ("session.id" in run, "openai_agents.group_id" in run) == (False, False)
    assert "theirs" == either.named("abandoned").attributes["session.id"]


async def test_a_run_in_a_finished_trace_is_a_trace_of_its_own(traced, scripted):
    """An abandoned generator leaves its finished trace current; the next run is exported, on its own."""
    await abandon()
    for number in (1, 2):
        await Runner.run(scripted().agent(), "Hi", conversation_id=f"c-{number}")
    runs = [span for span in traced.spans if span.name == "run Agent workflow"]
    assert ["c-1", "c-2"] == [span.attributes["session.id"] for span in runs]
    assert [None, None] == [span.parent for span in runs]
    assert 3 == len({span.context.trace_id for span in traced.spans})


async def test_suppressed_runs_leave_nothing(traced, scripted):
    """Under ``suppress_instrumentation`` there is no span."""
    with suppress_instrumentation():
        await Runner.run(scripted().agent(), "Hi")
    assert [] == traced.spans


@pytest.mark.parametrize("chat", [False, True])
async def test_the_client_that_we_instrument_makes_no_second_span(traced, scripted, chat):
    """With the provider ``openai`` the SDK's model call is one span; a call outside of runs is the client's."""
    made = scripted([CALL, "Done.", "Direct."])
    with lai.instrument("openai"):
        await Runner.run(made.agent(chat=chat, tools=[async_work]), "Go")
        assert 2 == len([s for s in traced.spans if s.attributes.get("openinference.span.kind") == "LLM"])
        assert "work" == parent_of(traced, traced.named("mine")).name
        await made.client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
    assert traced.named("ChatCompletion")


async def test_spans_of_a_client_that_others_instrument_stay(traced, scripted, monkeypatch):
    """Another tracer's span of the client is made as without us, below ours, and its tokens are not kept twice."""

    async def traced_request(wrapped, _instance, args, kwargs):
        assert is_instrumentation_enabled()
        given = {"openinference.span.kind": "LLM", "llm.token_count.prompt": 7}
        with tracer().start_as_current_span("client", attributes=given):
            return await wrapped(*args, **kwargs)

    wrapped = wrapt.FunctionWrapper(openai.AsyncOpenAI.request, traced_request)
    monkeypatch.setattr(openai.AsyncOpenAI, "request", wrapped)
    await Runner.run(scripted(["Done."]).agent(), "Go")
    client = traced.named("client")
    assert "response" == parent_of(traced, client).name
    assert "llm.token_count.prompt" not in client.attributes


async def test_without_an_instrumented_client_spans_below_a_call_are_kept(traced, scripted):
    """A span opened while a model is asked (a proxy's, HTTP's) is below the model's span."""
    made = scripted(["Hi."])
    original = made.client.responses.create

    async def create(*args, **kwargs):
        with tracer().start_as_current_span("http"):
            return await original(*args, **kwargs)

    made.client.responses.create = create
    await Runner.run(made.agent(), "Hi")
    assert "response" == parent_of(traced, traced.named("http")).name


async def test_a_block_inside_a_tool_is_a_linked_trace(traced, scripted):
    """Another session bound inside a tool: what runs there is a trace of its own, linked to the tool."""
    made = scripted([CALL, "Inner.", "Outer."])

    @function_tool(name_override="work")
    async def other() -> str:
        with lai.bind_session("other"):
            await Runner.run(made.agent("Inner"), "Go")
        return "done"

    await Runner.run(made.agent("Outer", tools=[other]), "Go", conversation_id="mine")
    inner, tool = traced.named("Inner"), traced.named("work")
    assert ("other", "mine") == (inner.attributes["session.id"], tool.attributes["session.id"])
    assert inner.context.trace_id != tool.context.trace_id
    top = next(s for s in traced.spans if s.context.trace_id == inner.context.trace_id and s.parent is None)
    assert [tool.context.span_id] == [link.context.span_id for link in top.links]


async def test_our_contexts_do_not_leak_into_other_tasks(traced, scripted):
    """A task started before a run sees nothing of it."""
    seen = contextvars.copy_context()
    await Runner.run(scripted().agent(), "Hi")
    assert otel_trace.INVALID_SPAN == seen.run(otel_trace.get_current_span)


async def test_other_processors_stay(captured, scripted):
    """Processors of the user's are called as before, beside ours, and remain when ours leaves."""
    seen = []

    class Mine(agents.tracing.TracingProcessor):
        def on_trace_start(self, trace):
            seen.append(trace.name)

        def on_trace_end(self, trace): ...
        def on_span_start(self, span): ...
        def on_span_end(self, span): ...
        def shutdown(self): ...
        def force_flush(self): ...

    mine = Mine()
    agents.add_trace_processor(mine)
    with lai.instrument("openai_agents"):
        await Runner.run(scripted().agent(), "Hi")
    await Runner.run(scripted().agent(), "Hi")
    assert 2 == len(seen)
    assert 1 == len([span for span in captured.spans if span.parent is None])


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
async def test_openinferences_instrumentation_of_the_client_counts_nothing_twice(
    traced, scripted, chat, streamed
):
    """With ``providers=["openai"]`` beside us there is one span with tokens for a call, and none is lost."""
    pytest.importorskip("openinference.instrumentation.openai", reason="the openai extra is not installed")
    made = scripted(["Hi.", "Direct."])
    agent = made.agent(chat=chat, model_settings=agents.ModelSettings(include_usage=True))
    with lai.instrument("openai"):
        if streamed:
            async for _ in Runner.run_streamed(agent, "Hi").stream_events():
                pass
        else:
            await Runner.run(agent, "Hi")
        with_tokens = [s for s in traced.spans if "llm.token_count.prompt" in s.attributes]
        assert ["lucidic.openai_agents"] == [span.instrumentation_scope.name for span in with_tokens]
        assert 1 == [span.attributes.get("openinference.span.kind") for span in traced.spans].count("LLM")
        await made.client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
    direct = [span for span in traced.spans if span.instrumentation_scope.name != "lucidic.openai_agents"]
    assert 1 == len(direct)
