"""The scripted server and the real openai client: responses."""

from __future__ import annotations

import json

import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from lucidic.testing import Reply, ScriptedServer, ToolCall, Usage


TOOLS = (ToolCall("weather", {"city": "Rome"}), ToolCall("clock", {"zone": "CET"}))


def client(server):
    return openai.OpenAI(base_url=server.openai_url, api_key="none", max_retries=0)


def test_an_answer_has_its_text_and_usage():
    """A reply's text and token counts, cached and reasoning among them, arrive in the response."""
    usage = Usage(prompt=20, completion=9, cached=16, reasoning=4)
    with ScriptedServer([Reply(text="In Italy.", usage=usage)]) as server, client(server) as api:
        answer = api.responses.create(model="m", input="Where is Rome?")
    assert ("In Italy.", "completed", "m") == (answer.output_text, answer.status, answer.model)
    assert (20, 9, 29) == (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens)
    assert 16 == answer.usage.input_tokens_details.cached_tokens
    assert 4 == answer.usage.output_tokens_details.reasoning_tokens


def test_every_event_has_the_shape_that_the_client_declares():
    """The body and the events pass the client's own models, and the events are numbered."""
    reply = Reply(text="See.", reasoning="Let me think.", refusal="No.", tool_calls=TOOLS)
    events = TypeAdapter(ResponseStreamEvent)
    with ScriptedServer([reply, reply]) as server, client(server) as api:
        raw = api.responses.with_raw_response.create(model="m", input="Hi")
        Response.model_validate_json(raw.content)
        with api.responses.with_streaming_response.create(model="m", input="Hi", stream=True) as stream:
            lines = [line.removeprefix("data: ") for line in stream.iter_lines() if line.startswith("data: ")]
    assert list(range(len(lines))) == [events.validate_json(line).sequence_number for line in lines]


def test_a_stream_ends_with_the_whole_response():
    """The client's accumulated response has reasoning, text and both calls, in this order."""
    reply = Reply(text="Wait a moment.", reasoning="Two tools.", tool_calls=TOOLS)
    with ScriptedServer([reply]) as server, client(server) as api:
        with api.responses.stream(model="m", input="Hi") as stream:
            deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
            final = stream.get_final_response()
    assert "Wait a moment." == "".join(deltas) == final.output_text
    assert ["reasoning", "message", "function_call", "function_call"] == [item.type for item in final.output]
    assert "Two tools." == final.output[0].summary[0].text
    assert [call.arguments_json for call in TOOLS] == [item.arguments for item in final.output[2:]]


def test_a_refusal_is_a_part_of_the_message():
    """A refusal arrives as a part of its own, streamed by its own events."""
    with ScriptedServer([Reply(refusal="I will not.")]) as server, client(server) as api:
        events = list(api.responses.create(model="m", input="Hi", stream=True))
    deltas = [event.delta for event in events if event.type == "response.refusal.delta"]
    assert "I will not." == "".join(deltas)
    assert "I will not." == events[-1].response.output[0].content[0].refusal


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_was_cut_is_incomplete(stream):
    """The finish reason ``length`` is an incomplete response with the API's reason."""
    with ScriptedServer([Reply(text="In", finish_reason="length")]) as server, client(server) as api:
        answer = api.responses.create(model="m", input="Hi", stream=stream)
        response = list(answer)[-1].response if stream else answer
    assert ("incomplete", "max_output_tokens") == (response.status, response.incomplete_details.reason)


def test_tool_results_come_back_to_the_script():
    """A function reads the results of its own calls and the user's words."""

    def script(request):
        if request.tool_results:
            return f"{request.user_text} {' and '.join(request.tool_results)}"
        return Reply(tool_calls=TOOLS)

    with ScriptedServer(script) as server, client(server) as api:
        conversation = [{"role": "user", "content": "Weather?"}]
        first = api.responses.create(model="m", input=conversation)
        conversation += [item.model_dump() for item in first.output]
        for call, result in zip(first.output, ["sunny", "noon"], strict=True):
            conversation.append({"type": "function_call_output", "call_id": call.call_id, "output": result})
        assert "Weather? sunny and noon" == api.responses.create(model="m", input=conversation).output_text


def test_an_answer_repeats_what_its_request_set():
    """Instructions, conversation and the previous response's id come back as they were sent."""
    with ScriptedServer() as server, client(server) as api:
        answer = api.responses.create(model="m", input="Hi", instructions="Be brief.", conversation="conv_1")
        following = api.responses.create(model="m", input="Go on", previous_response_id=answer.id)
    assert ("Be brief.", "conv_1") == (answer.instructions, answer.conversation.id)
    assert answer.id == following.previous_response_id


def test_the_body_that_was_sent_is_recorded():
    """A test reads back path, headers and parsed body, and the headers stay out of the repr."""
    with ScriptedServer() as server, client(server) as api:
        api.responses.create(model="m", input="Hi")
        (request,) = server.requests
    assert ("/v1/responses", {"model": "m", "input": "Hi"}) == (request.path, dict(request.body))
    assert "Bearer none" == request.headers["authorization"]
    assert "Bearer" not in repr(request)
    assert json.dumps(dict(request.body))


async def test_the_async_client_gets_the_same():
    """The asynchronous client works against the same server."""
    with ScriptedServer(["Hello"]) as server:
        async with openai.AsyncOpenAI(base_url=server.openai_url, api_key="none") as api:
            assert "Hello" == (await api.responses.create(model="m", input="Hi")).output_text
