"""The scripted server and the real anthropic client."""

from __future__ import annotations

import anthropic
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from lucidic.testing import Reply, ScriptedServer, ToolCall, Usage


ASK = {"model": "c", "max_tokens": 100, "messages": [{"role": "user", "content": "Where is Rome?"}]}
TOOLS = (ToolCall("weather", {"city": "Rome"}), ToolCall("clock", {"zone": "CET"}))
FULL = Reply(text="Wait a moment.", reasoning="Two tools.", tool_calls=TOOLS)


def client(server):
    return anthropic.Anthropic(base_url=server.anthropic_url, api_key="none", max_retries=0)


def test_an_answer_has_its_text_and_usage():
    """Cached tokens are beside the input tokens, as Anthropic counts, and not among them."""
    usage = Usage(prompt=20, completion=9, cached=16)
    with ScriptedServer([Reply(text="In Italy.", usage=usage)]) as server, client(server) as api:
        answer = api.messages.create(**ASK)
    assert ("In Italy.", "end_turn", "c") == (answer.content[0].text, answer.stop_reason, answer.model)
    assert (4, 16, 9) == (
        answer.usage.input_tokens,
        answer.usage.cache_read_input_tokens,
        answer.usage.output_tokens,
    )


def test_every_event_has_the_shape_that_the_client_declares():
    """The body and the events pass the client's own models."""
    events = TypeAdapter(RawMessageStreamEvent)
    with ScriptedServer([FULL, FULL]) as server, client(server) as api:
        Message.model_validate_json(api.messages.with_raw_response.create(**ASK).text())
        with api.messages.with_streaming_response.create(**ASK, stream=True) as stream:
            lines = [line.removeprefix("data: ") for line in stream.iter_lines() if line.startswith("data: ")]
    for line in lines:
        if line != '{"type":"ping"}':
            events.validate_json(line)


@pytest.mark.parametrize("streamed", [False, True])
def test_thinking_text_and_parallel_calls_arrive_in_order(streamed):
    """Streamed or not, the message has thinking, text and both calls with their arguments."""
    with ScriptedServer([FULL]) as server, client(server) as api:
        if streamed:
            with api.messages.stream(**ASK) as stream:
                message = stream.get_final_message()
        else:
            message = api.messages.create(**ASK)
    assert ["thinking", "text", "tool_use", "tool_use"] == [block.type for block in message.content]
    assert ("Two tools.", "Wait a moment.") == (message.content[0].thinking, message.content[1].text)
    assert [dict(call.arguments) for call in TOOLS] == [block.input for block in message.content[2:]]
    assert "tool_use" == message.stop_reason


def test_tool_results_come_back_to_the_script():
    """A function reads the results that Anthropic's API carries in a user message."""
    results = [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"}]
    with ScriptedServer() as server, client(server) as api:
        messages = [*ASK["messages"], {"role": "user", "content": results}]
        answer = api.messages.create(**{**ASK, "messages": messages})
        (request,) = server.requests
    assert "The tools say: sunny" == answer.content[0].text
    assert (("Where is Rome?",), ("sunny",)) == (request.user_texts, request.tool_results)


@pytest.mark.parametrize(("finish", "expected"), [("length", "max_tokens"), ("pause_turn", "pause_turn")])
def test_finish_reasons_are_translated(finish, expected):
    """OpenAI's words become Anthropic's, and words that are Anthropic's own are kept."""
    with ScriptedServer([Reply(text="In", finish_reason=finish)]) as server, client(server) as api:
        assert expected == api.messages.create(**ASK).stop_reason


def test_a_refusal_has_its_own_stop_reason():
    """A refusal stops with ``refusal``."""
    with ScriptedServer([Reply(refusal="I will not.")]) as server, client(server) as api:
        assert "refusal" == api.messages.create(**ASK).stop_reason


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (401, anthropic.AuthenticationError, "authentication_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (529, anthropic.APIStatusError, "overloaded_error"),
    ],
)
def test_an_error_is_the_clients_own_error(status, error, kind):
    """Each status arrives as Anthropic's exception with Anthropic's error type and a request id."""
    with ScriptedServer([Reply(status=status)]) as server, client(server) as api:
        with pytest.raises(error) as caught:
            api.messages.create(**ASK)
    assert kind == caught.value.body["error"]["type"]
    assert caught.value.request_id == caught.value.body["request_id"]


def test_arguments_that_are_no_json_are_said_to_be_the_scripts_fault():
    """A reply that this API cannot say is a clear error, not a broken connection."""
    with ScriptedServer([Reply(tool_calls=(ToolCall("weather", "{"),))]) as server, client(server) as api:
        with pytest.raises(anthropic.BadRequestError, match="does not fit"):
            api.messages.create(**ASK)


async def test_the_async_client_streams_too():
    """The asynchronous client gets the same stream."""
    with ScriptedServer(["Hello there"]) as server:
        async with anthropic.AsyncAnthropic(base_url=server.anthropic_url, api_key="none") as api:
            async with api.messages.stream(**ASK) as stream:
                assert ["Hello ", "there"] == [text async for text in stream.text_stream]
