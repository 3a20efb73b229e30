"""The scripted server and the real openai client: chat completions and embeddings."""

from __future__ import annotations

import json

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from lucidic.testing import Reply, ScriptedServer, ToolCall, Usage


MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is Rome?"}]
TOOLS = (
    ToolCall("weather", {"city": "Rome", "note": "già"}),
    ToolCall("clock", {"zone": "CET"}, id="call_mine"),
)


def client(server, **options):
    return openai.OpenAI(base_url=server.openai_url, api_key="none", **options)


def stream_of(server, **options):
    with client(server) as api:
        return list(api.chat.completions.create(model="m", messages=MESSAGES, stream=True, **options))


def test_an_answer_has_its_text_model_and_usage():
    """A reply's text, model and token counts arrive where the client looks for them."""
    usage = Usage(prompt=20, completion=9, cached=16, reasoning=4)
    with ScriptedServer([Reply(text="In Italy.", usage=usage, model="m-2")]) as server, client(server) as api:
        answer = api.chat.completions.create(model="m", messages=MESSAGES)
    assert ("In Italy.", "stop") == (answer.choices[0].message.content, answer.choices[0].finish_reason)
    assert "m-2" == answer.model
    assert (20, 9, 29) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
        answer.usage.total_tokens,
    )
    assert 16 == answer.usage.prompt_tokens_details.cached_tokens
    assert 4 == answer.usage.completion_tokens_details.reasoning_tokens


def test_the_answer_has_the_shape_that_the_client_declares():
    """Bodies and chunks pass the client's own models, which the client itself does not check."""
    reply = Reply(text="Let me see.", tool_calls=TOOLS)
    with ScriptedServer([reply, reply]) as server, client(server) as api:
        raw = api.chat.completions.with_raw_response.create(model="m", messages=MESSAGES)
        ChatCompletion.model_validate_json(raw.content)
        with api.chat.completions.with_streaming_response.create(
            model="m", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        ) as raw_stream:
            lines = [line.removeprefix("data: ") for line in raw_stream.iter_lines() if line]
    assert "[DONE]" == lines.pop()
    for line in lines:
        ChatCompletionChunk.model_validate_json(line)


def test_parallel_tool_calls_arrive_with_ids_and_arguments():
    """Two calls in one reply are two calls of one message; an id given by the script is kept."""
    with ScriptedServer([Reply(tool_calls=TOOLS)]) as server, client(server) as api:
        choice = api.chat.completions.create(model="m", messages=MESSAGES).choices[0]
    calls = choice.message.tool_calls
    assert ("tool_calls", None) == (choice.finish_reason, choice.message.content)
    assert ["weather", "clock"] == [call.function.name for call in calls]
    assert {"city": "Rome", "note": "già"} == json.loads(calls[0].function.arguments)
    assert "call_mine" == calls[1].id
    assert calls[0].id.startswith("call_")


def test_a_stream_gives_the_same_as_the_plain_answer():
    """The pieces of a stream add up to the reply, tool calls and usage included."""
    reply = Reply(
        text="Wait  a\nmoment, già.", tool_calls=TOOLS, usage=Usage(prompt=3, completion=2, cached=1)
    )
    with ScriptedServer([reply]) as server, client(server) as api:
        options = {"model": "m", "messages": MESSAGES, "stream_options": {"include_usage": True}}
        with api.chat.completions.stream(**options) as stream:
            final = stream.get_final_completion()
    message = final.choices[0].message
    assert "Wait  a\nmoment, già." == message.content
    assert [(call.name, call.arguments_json) for call in TOOLS] == [
        (call.function.name, call.function.arguments) for call in message.tool_calls
    ]
    assert (3, 2, 1) == (
        final.usage.prompt_tokens,
        final.usage.completion_tokens,
        final.usage.prompt_tokens_details.cached_tokens,
    )


def test_a_stream_has_usage_only_where_it_was_asked_for():
    """Without ``stream_options`` no chunk has usage, as with the provider."""
    with ScriptedServer(["Hello there"]) as server:
        assert [None] == list({chunk.usage for chunk in stream_of(server)})


def test_reasoning_and_refusal_stream_in_fields_of_their_own():
    """Reasoning and refusal never mix with the content."""
    with ScriptedServer([Reply(reasoning="Let me think", refusal="I will not.")]) as server:
        deltas = [chunk.choices[0].delta for chunk in stream_of(server)]
    assert "Let me think" == "".join(delta.model_extra.get("reasoning_content", "") for delta in deltas)
    assert "I will not." == "".join(delta.refusal or "" for delta in deltas)
    assert "" == "".join(delta.content or "" for delta in deltas)


def test_a_stream_breaks_off_after_the_given_number_of_events():
    """The client sees the events that were sent, then a broken connection."""
    seen = []

    def read(api):
        for chunk in api.chat.completions.create(model="m", messages=MESSAGES, stream=True):
            seen.append(chunk.choices[0].delta.content)

    with ScriptedServer([Reply(text="one two three", stream_abort_after=2)]) as server, client(server) as api:
        # Older clients hand on their HTTP library's own error.
        with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError)):
            read(api)
    assert ["", "one "] == seen


def test_an_error_is_the_clients_own_error():
    """Status, message, type and code arrive in OpenAI's exception, streamed or not."""
    error = {"message": "No such parameter.", "code": "unknown_parameter"}
    replies = [Reply(status=400, error=error), Reply(status=400, error=error)]
    with ScriptedServer(replies) as server, client(server, max_retries=0) as api:
        for stream in (False, True):
            with pytest.raises(openai.BadRequestError) as caught:
                api.chat.completions.create(model="m", messages=MESSAGES, stream=stream)
            assert "No such parameter." == caught.value.body["message"]
            assert ("unknown_parameter", "invalid_request_error") == (caught.value.code, caught.value.type)


def test_a_rate_limit_says_when_to_come_back_and_is_retried():
    """A 429 has Retry-After, and the client that repeats the request gets the next reply."""
    slow = Reply(status=429, headers={"Retry-After-Ms": "1"})
    with ScriptedServer([slow, "Now.", Reply(status=429)]) as server, client(server, max_retries=1) as api:
        answer = api.chat.completions.create(model="m", messages=MESSAGES)
        assert "Now." == answer.choices[0].message.content
        with pytest.raises(openai.RateLimitError) as caught:
            api.with_options(max_retries=0).chat.completions.create(model="m", messages=MESSAGES)
        assert "1" == caught.value.response.headers["retry-after"]


def test_a_server_error_is_an_internal_server_error():
    """A status of 500 and above is the client's InternalServerError."""
    with ScriptedServer([Reply(status=503)]) as server, client(server, max_retries=0) as api:
        with pytest.raises(openai.InternalServerError):
            api.chat.completions.create(model="m", messages=MESSAGES)


def test_embeddings_depend_on_the_text_alone():
    """The same text has the same vector, whatever its position, its encoding and the server."""
    vectors = []
    for texts, options in ((["a", "b"], {}), (["b", "a"], {"encoding_format": "float"})):
        with ScriptedServer([]) as server, client(server) as api:
            answer = api.embeddings.create(model="e", input=texts, **options)
            vectors.append({text: item.embedding for text, item in zip(texts, answer.data, strict=True)})
            assert (2, 2) == (answer.usage.prompt_tokens, answer.usage.total_tokens)
    assert vectors[0] == vectors[1]
    assert vectors[0]["a"] != vectors[0]["b"]


def test_embeddings_have_the_dimensions_that_were_asked_for():
    """``dimensions`` is the length of each vector, and a list of tokens is one text."""
    with ScriptedServer([]) as server, client(server) as api:
        answer = api.embeddings.create(model="e", input=[12, 15], dimensions=3)
    assert [3] == [len(item.embedding) for item in answer.data]


def test_a_script_function_can_fail_embeddings():
    """A function's error reply reaches the embeddings client."""
    with ScriptedServer(lambda request: Reply(status=404)) as server, client(server) as api:
        with pytest.raises(openai.NotFoundError):
            api.embeddings.create(model="e", input="a")


async def test_the_async_client_streams_too():
    """The asynchronous client gets the same stream."""
    with ScriptedServer(["Hello there"]) as server:
        async with openai.AsyncOpenAI(base_url=server.openai_url, api_key="none") as api:
            stream = await api.chat.completions.create(model="m", messages=MESSAGES, stream=True)
            text = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "Hello there" == "".join(text)
