"""The demo: its conversation, and its command."""

from __future__ import annotations

import queue
import sys
import threading

import pytest
from click.testing import CliRunner
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage

import lucidic as lai
from lucidic import _demo
from lucidic._cli._demo import demo
from lucidic._records import StoredSpan
from lucidic.errors import MissingDependencyError
from lucidic.testing import ScriptedServer, session_id_of
from lucidic_adapters.langchain import _demo as story


class Runs(BaseCallbackHandler):
    """Keep what the model answered and what the tools were given."""

    run_inline = True

    def __init__(self):
        self.answers: list[AIMessage] = []
        self.tools: list[tuple[str, dict]] = []
        self.threads: set[str] = set()

    def on_llm_end(self, response, **kwargs):
        self.answers.append(response.generations[0][0].message)

    def on_tool_start(self, serialized, input_str, *, inputs=None, metadata=None, **kwargs):
        self.tools.append((serialized["name"], inputs))
        self.threads.add(metadata["thread_id"])


@pytest.fixture
def held():
    """Hold the conversation against the scripted server; give the runs, the turns and the requests."""
    runs = Runs()
    with ScriptedServer(story.script) as server:
        told = list(
            story.converse(
                thread_id="t-1", model="m", api_key="none", base_url=server.openai_url, callbacks=[runs]
            )
        )
        return runs, told, server.requests


def test_the_conversation_has_three_answered_turns(held):
    """Each of the three questions gets the scripted answer, the streamed one without losing a word."""
    _, told, _ = held
    assert list(story.QUESTIONS) == [question for question, _ in told]
    assert [answer.text for _, answer in story._SCRIPT] == [answer for _, answer in told]


def test_later_turns_depend_on_the_memory(held):
    """The third turn's request carries the first turn's question and tool result, under one thread id."""
    runs, _, requests = held
    assert story.QUESTIONS == requests[-1].user_texts
    assert "arrives on Friday" in str(requests[-1].body["messages"])
    assert {"t-1"} == runs.threads


def test_both_apis_and_a_stream_are_used(held):
    """Chat completions, then responses, then streamed chat completions, two requests each."""
    _, _, requests = held
    asked = [(request.path, request.stream) for request in requests]
    chat = "/v1/chat/completions"
    assert [(chat, False)] * 2 + [("/v1/responses", False)] * 2 + [(chat, True)] * 2 == asked


def test_the_tools_run_with_their_arguments(held):
    """Four tool calls run, two of them in parallel."""
    runs, _, _ = held
    assert ("find_order", {"order_id": "4711"}) == runs.tools[0]
    assert {"Saturday", "Monday"} == {given["day"] for name, given in runs.tools if name == "delivery_price"}
    assert ("move_delivery", {"order_id": "4711", "day": "Monday"}) == runs.tools[-1]


def test_usage_arrives_with_cached_and_reasoning_tokens(held):
    """LangChain reports the script's token counts in every turn, the streamed one included."""
    runs, _, _ = held
    expected = [reply.usage for replies in story._SCRIPT for reply in replies]
    assert [(usage.prompt, usage.completion, usage.cached, usage.reasoning) for usage in expected] == [
        (
            counts["input_tokens"],
            counts["output_tokens"],
            counts["input_token_details"]["cache_read"],
            counts["output_token_details"]["reasoning"],
        )
        for counts in (answer.usage_metadata for answer in runs.answers)
    ]


def test_the_last_question_passes_through_three_frameworks_in_one_trace(captured):
    """Graph, PydanticAI agent, OpenAI Agents workflow and chain are one tree, each inside the other."""
    team = _demo.load_team()
    with lai.bind_session("user_1_conv_1"):
        told = _demo.converse(story, team, thread_id="t", environ={})

    path = path_to_the_model(captured.spans[-1], captured)

    assert (team.QUESTION, team._SCRIPT[0][3].text) == told[-1]
    assert {"user_1_conv_1"} == {session_id_of(span) for span in captured.spans}
    wanted = ("lamp_advice", "advise", "invoke_agent adviser", "execute_tool ask_the_workshop")
    wanted += ("workshop", "read_the_manual", "manual", "ChatOpenAI")
    assert wanted == tuple(name for name in path if name in wanted)


def path_to_the_model(root, captured):
    """Return the names from a trace's root down to its deepest model call."""
    spans = {s.context.span_id: s for s in captured.spans if s.context.trace_id == root.context.trace_id}
    paths = []
    for span in spans.values():
        path = [span.name]
        while span.parent is not None:
            span = spans[span.parent.span_id]
            path.append(span.name)
        paths.append(tuple(reversed(path)))
    return max((path for path in paths if path[-1] == "ChatOpenAI"), key=len)


def test_a_provider_without_responses_is_asked_for_chat_only():
    """Where the provider may not have the responses API, every turn is chat completions."""
    with ScriptedServer(story.script) as server:
        list(
            story.converse(
                thread_id="t", model="m", api_key="none", base_url=server.openai_url, responses=False
            )
        )
        assert {"/v1/chat/completions"} == {request.path for request in server.requests}


def test_a_proxy_of_the_environment_is_not_used_for_loopback(monkeypatch):
    """The demo reaches its own server where the environment names a proxy."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with ScriptedServer(story.script) as server:
        told = story.converse(thread_id="t", model="m", api_key="none", base_url=server.openai_url)
        assert 3 == len(list(told))


def test_without_a_key_the_scripted_server_answers():
    """Nothing but loopback is needed, and an OPENAI_BASE_URL without a key is not used."""
    told = _demo.converse(story, thread_id="t", environ={"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
    assert list(story.QUESTIONS) == [question for question, _ in told]


def test_with_a_key_the_named_provider_answers():
    """Key, address and model of the environment are used, and an address of one's own means chat only."""
    with ScriptedServer(story.script) as server:
        environ = {
            "OPENAI_API_KEY": "k",
            "OPENAI_BASE_URL": server.openai_url,
            "OPENAI_MODEL": "m-9",
        }
        _demo.converse(story, thread_id="t", environ=environ)
        requests = server.requests
    assert {("m-9", "Bearer k", "/v1/chat/completions")} == {
        (request.model, request.headers["authorization"], request.path) for request in requests
    }


def test_with_a_key_alone_openai_answers():
    """Without an address the provider is OpenAI with the default model and the responses API."""
    with _demo.provider(story, {"OPENAI_API_KEY": "k"}) as answering:
        assert (None, "gpt-4o-mini", True) == (answering.base_url, answering.model, answering.responses)


def test_a_missing_extra_is_named(monkeypatch):
    """Without langchain-openai the demo says what to install."""
    monkeypatch.delitem(sys.modules, "lucidic_adapters.langchain._demo")
    monkeypatch.delattr("lucidic_adapters.langchain._demo")
    monkeypatch.setitem(sys.modules, "langchain_openai", None)
    with pytest.raises(MissingDependencyError, match=r"langchain_openai.*lucidic-adapters\[demo\]"):
        _demo.load_story()


class Spans:
    """A listener that gives what a test puts into it."""

    def __init__(self):
        self.waiting = queue.SimpleQueue()

    def __iter__(self):
        return iter(self.waiting.get, None)

    def close(self):
        self.waiting.put(None)


def test_spans_are_handed_on_while_the_conversation_runs():
    """A span reaches the caller's function before the block ends, and the last one before it is left."""
    spans, seen, came = Spans(), [], threading.Event()

    def on_span(span):
        seen.append(span)
        came.set()

    with _demo.feeding(spans, on_span):
        spans.waiting.put("first")
        assert came.wait(30)
        spans.waiting.put("last")
    assert ["first", "last"] == seen


SPAN = StoredSpan(
    trace_id="1" * 32,
    span_id="2" * 16,
    parent_span_id=None,
    name="order_assistant",
    kind="INTERNAL",
    status="OK",
    status_message="",
    start_ns=1,
    end_ns=2,
    session_id="s-1",
    attributes={"openinference.span.kind": "AGENT", "output.value": "On Friday."},
)


def test_the_command_draws_the_spans_and_says_how_to_look_again(monkeypatch):
    """What finishes is shown, and the last lines are commands that name the session."""

    def run(*, on_span):
        on_span(SPAN)
        return "s-1"

    monkeypatch.setattr(_demo, "run_demo", run)
    result = CliRunner().invoke(demo)
    assert 0 == result.exit_code
    assert "On Friday." in result.output
    assert ["  lucidic show s-1", "  lucidic sessions"] == result.output.splitlines()[-2:]


@pytest.mark.parametrize("error", [MissingDependencyError("The package x", "demo"), ValueError("wrong key")])
def test_the_command_fails_with_one_clear_message(monkeypatch, error):
    """A missing extra or a provider's refusal is a message and exit code 1, not a traceback."""

    def run(*, on_span):
        raise error

    monkeypatch.setattr(_demo, "run_demo", run)
    result = CliRunner().invoke(demo)
    assert (1, True) == (result.exit_code, str(error) in result.output)
    assert "Traceback" not in result.output
