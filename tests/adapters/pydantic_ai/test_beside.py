"""PydanticAI's one place for an instrumentation, shared with whoever else takes it."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_ai import Agent, Embedder, direct
from pydantic_ai.embeddings.test import TestEmbeddingModel
from pydantic_ai.messages import ModelRequest, UserPromptPart
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.models.test import TestModel

import lucidic as lai


A = "conversation-of-ada-0001"


@pytest.fixture
def provider():
    """A provider that is somebody else's, with an exporter."""
    made = TracerProvider(shutdown_on_exit=False)
    made.exporter = InMemorySpanExporter()
    made.add_span_processor(SimpleSpanProcessor(made.exporter))
    return made


@pytest.fixture(autouse=True)
def _nobody_stays():
    yield
    Agent.instrument_all(False)


def agent(provider, inside=lambda: None):
    made = Agent(TestModel(custom_output_text="hi"), name="both")

    @made.tool_plain
    def look(city: str) -> str:
        inside()
        provider.get_tracer("users-code").start_span("user's").end()
        return city

    return made


def tree(spans, scope):
    """Return each span of a scope, and of the user's below it, with its parent's name."""
    names = {span.context.span_id: span.name for span in spans}
    return sorted(
        (span.name, names.get(span.parent.span_id, "?") if span.parent else None)
        for span in spans
        if span.instrumentation_scope.name in (scope, "users-code")
    )


TREE = [
    ("chat test", "invoke_agent both"), ("chat test", "invoke_agent both"),
    ("execute_tool look", "invoke_agent both"), ("invoke_agent both", None), ("user's", "execute_tool look"),
]  # fmt: skip


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("shared", [True, False], ids=["one provider", "its own provider"])
def test_both_trees_are_what_they_are_alone(captured, provider, order, shared):
    """Whoever comes first, and on whichever provider: each exports a tree of its own with the user's span in it."""
    settings = InstrumentationSettings(tracer_provider=provider)
    Agent.instrument_all(settings)
    agent(provider).run_sync("hello")
    alone = tree(provider.exporter.get_finished_spans(), "pydantic-ai")
    assert any(name == "user's" for name, _ in alone)
    provider.exporter.clear()
    Agent.instrument_all(False)

    if order == "before":
        Agent.instrument_all(settings)
    with lai.instrument("pydantic_ai", tracer_provider=provider if shared else None), lai.bind_session(A):
        if order == "after":
            Agent.instrument_all(settings)
        agent(provider).run_sync("hello")
        theirs = provider.exporter.get_finished_spans()
        assert {span.attributes["session.id"] for span in captured.spans} == {A}
        assert tree(theirs, "pydantic-ai") == alone
        if shared:
            assert tree(captured.spans, "lucidic.pydantic_ai") == TREE
            assert len({span.context.trace_id for span in theirs}) == 1
        else:
            assert tree(captured.spans, "lucidic.pydantic_ai") == TREE[:-1]
        assert not [span for span in captured.spans if span.instrumentation_scope.name == "pydantic-ai"]
    assert Agent._instrument_default is settings


def test_their_spans_say_what_they_say_alone(captured, provider):
    """Their attributes and status are the SDK's own, with what the user's code sets; ours has that, too."""

    def run():
        provider.exporter.clear()
        agent(provider, lambda: trace.get_current_span().set_attribute("seen", "by both")).run_sync("hello")
        theirs = [
            span for span in provider.exporter.get_finished_spans() if span.name.startswith(("chat", "exec"))
        ]
        own = ("gen_ai.agent.call", "gen_ai.conversation", "gen_ai.tool.call.id", "session", "lucidic")
        found = [
            {key: value for key, value in span.attributes.items() if not key.startswith(own)}
            for span in theirs
            if span.instrumentation_scope.name == "pydantic-ai"
        ]
        return [
            {key: value for key, value in each.items() if "messages" not in key and "time" not in key}
            for each in found
        ]

    Agent.instrument_all(InstrumentationSettings(tracer_provider=provider))
    alone = run()
    with lai.instrument("pydantic_ai"):
        assert run() == alone
    tool = captured.named("execute_tool look").attributes
    assert ("by both", "TOOL") == (tool["seen"], tool["openinference.span.kind"])


def test_what_would_only_come_to_us_is_not_made_twice(captured):
    """``Agent.instrument_all()`` on a provider that has nobody's exporter but ours makes no second tree."""
    Agent.instrument_all()
    with lai.instrument("pydantic_ai"):
        Agent(TestModel(custom_output_text="hi"), name="both").run_sync("hello")
    assert ["chat test", "invoke_agent both"] == sorted(span.name for span in captured.spans)
    assert {"lucidic.pydantic_ai"} == {span.instrumentation_scope.name for span in captured.spans}


def test_switching_all_off_is_the_users_word(captured):
    """``Agent.instrument_all(False)`` is no other tracer: it holds until lucidic is switched on again."""
    with lai.instrument("pydantic_ai"):
        Agent.instrument_all(False)
        Agent(TestModel()).run_sync("hello")
        assert captured.spans == []
        with lai.instrument("pydantic_ai"):
            Agent(TestModel(custom_output_text="hi")).run_sync("hello")
    assert len(captured.spans) == 2
    assert Agent._instrument_default is False


def test_putting_back_what_was_found_leaves_ours_alone(captured, provider):
    """Who restores what it once found in the place, which was ours, leaves ours there and nothing behind."""
    with lai.instrument("pydantic_ai"):
        found = Agent._instrument_default
        Agent.instrument_all(InstrumentationSettings(tracer_provider=provider))
        Agent.instrument_all(found)
        Agent(TestModel(custom_output_text="hi")).run_sync("hello")
        assert len(captured.spans) == 2
    assert provider.exporter.get_finished_spans() == ()
    assert Agent._instrument_default is False


def test_their_choice_about_content_holds_for_both(captured, provider):
    """Settings without content leave it out of both spans."""
    with lai.instrument("pydantic_ai"):
        Agent.instrument_all(InstrumentationSettings(tracer_provider=provider, include_content=False))
        agent(provider).run_sync("a secret")
    for span in (*provider.exporter.get_finished_spans(), *captured.spans):
        assert "a secret" not in str(dict(span.attributes))


def test_a_failing_run_fails_for_both(captured, provider):
    """The error is on their spans and on ours, and the caller gets it."""

    def fail():
        raise LookupError("gone")

    Agent.instrument_all(InstrumentationSettings(tracer_provider=provider))
    with lai.instrument("pydantic_ai"), pytest.raises(LookupError):
        agent(provider, fail).run_sync("hello")
    assert trace.get_current_span() is trace.INVALID_SPAN
    for spans in (provider.exporter.get_finished_spans(), captured.spans):
        assert 2 <= len([span for span in spans if not span.status.is_ok])


async def test_a_stream_that_is_left_early_is_one_for_both(captured, provider, streaming):
    """A stream that its reader leaves ends both spans, and nothing stays current."""
    Agent.instrument_all(InstrumentationSettings(tracer_provider=provider))
    with lai.instrument("pydantic_ai"):
        async with Agent(streaming("a", "b"), name="both").run_stream("hello") as result:
            async for _ in result.stream_text(delta=True):
                break
    assert len(captured.started) == len(captured.spans) == 2
    assert 2 == len(
        [s for s in provider.exporter.get_finished_spans() if s.instrumentation_scope.name == "pydantic-ai"]
    )
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_direct_requests_and_embeddings_are_both_traced(captured, provider):
    """What runs outside of agents goes the same way: one span of theirs, one of ours, the tokens once."""
    settings = InstrumentationSettings(tracer_provider=provider)
    with lai.instrument("pydantic_ai", tracer_provider=provider):
        Agent.instrument_all(settings)
        Embedder.instrument_all(settings)
        request = ModelRequest(parts=[UserPromptPart("hello")])
        direct.model_request_sync(TestModel(custom_output_text="hi"), [request])
        Embedder(TestEmbeddingModel()).embed_query_sync("hello")
    Embedder.instrument_all(False)
    theirs = [
        s for s in provider.exporter.get_finished_spans() if s.instrumentation_scope.name == "pydantic-ai"
    ]
    ours = [s for s in captured.spans if s.instrumentation_scope.name == "lucidic.pydantic_ai"]
    assert 2 == len(theirs)
    assert ["LLM", "EMBEDDING"] == [span.attributes["openinference.span.kind"] for span in ours]
    kept = [span for span in captured.spans if span not in ours]
    assert not [key for span in kept for key in span.attributes if key.startswith("gen_ai.usage.")]
