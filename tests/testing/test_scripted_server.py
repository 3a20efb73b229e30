"""The scripted server itself: its life, its scripts, its threads."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest

from lucidic.errors import InvalidOperationError
from lucidic.testing import Reply, ScriptedServer, ToolCall


def ask(server, text="Hi", client=None):
    """Send one chat request over plain HTTP."""
    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
    post = client.post if client else httpx.post
    return post(f"{server.openai_url}/chat/completions", json=body, timeout=30)


def text_of(response):
    return response.json()["choices"][0]["message"]["content"]


def server_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("lucidic-scripted")]


def test_the_default_script_echoes():
    """Without a script the server says what it heard."""
    with ScriptedServer() as server:
        assert "You said: Hi" == text_of(ask(server))


def test_a_list_is_served_in_order_and_then_ends_clearly():
    """Each request takes the next reply; the request after the last one gets an error that says so."""
    with ScriptedServer(["one", Reply(text="two")]) as server:
        assert ["one", "two"] == [text_of(ask(server)), text_of(ask(server))]
        response = ask(server)
    assert 400 == response.status_code
    assert "The script ended before request 3" in response.json()["error"]["message"]


def test_a_script_that_raises_is_reported_to_the_client():
    """The exception of a script's function is the message of a 400."""

    def script(request):
        raise KeyError("city")

    with ScriptedServer(script) as server:
        response = ask(server)
    assert (400, "The script raised KeyError('city').") == (
        response.status_code,
        response.json()["error"]["message"],
    )


def test_two_runs_give_the_same_bytes():
    """Ids, times and token counts depend on the requests alone."""
    runs = []
    for _ in range(2):
        with ScriptedServer([Reply(tool_calls=(ToolCall("clock"),)), "a"]) as server:
            runs.append([ask(server).content, ask(server).content])
    assert runs[0] == runs[1]


def test_the_same_request_twice_has_two_ids():
    """Frameworks merge messages of the same id, so a repeated request has another one."""
    with ScriptedServer() as server:
        assert ask(server).json()["id"] != ask(server).json()["id"]


def test_token_counts_follow_the_text_lengths():
    """By default four characters are a token, in both directions."""
    with ScriptedServer([Reply(text="x" * 9)]) as server:
        usage = ask(server, "y" * 5).json()["usage"]
    assert (2, 3, 5) == (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"])


def test_a_connection_is_kept_alive():
    """One client uses one connection, and so one thread, for all its requests."""
    with ScriptedServer() as server, httpx.Client() as client:
        before = None
        for _ in range(3):
            assert 200 == ask(server, client=client).status_code
            threads = set(server_threads())
            assert before in (None, threads)
            before = threads


def test_many_conversations_at_once_get_their_own_answers():
    """Twenty conversations that are all in the server at the same time get twenty right answers."""
    together = threading.Barrier(20, timeout=30)

    def script(request):
        together.wait()
        return f"for {request.user_text}"

    with ScriptedServer(script) as server, ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda number: text_of(ask(server, f"c{number}")), range(20)))
    assert [f"for c{number}" for number in range(20)] == answers


async def test_many_asynchronous_conversations_get_their_own_answers():
    """Concurrent tasks of one asynchronous client get their own answers."""
    with ScriptedServer() as server:
        async with openai.AsyncOpenAI(base_url=server.openai_url, api_key="none") as api:
            answers = await asyncio.gather(
                *(api.responses.create(model="m", input=f"c{number}") for number in range(20))
            )
    assert [f"You said: c{number}" for number in range(20)] == [answer.output_text for answer in answers]


def test_a_gate_holds_the_answer():
    """The answer comes when the gate opens, and other requests pass meanwhile."""
    gate = threading.Event()

    def script(request):
        return Reply(text="late", gate=gate) if request.user_text == "slow" else Reply(text="fast")

    with ScriptedServer(script) as server, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(ask, server, "slow")
        assert "fast" == text_of(ask(server))
        assert not slow.done()
        gate.set()
        assert "late" == text_of(slow.result())


def test_stop_ends_every_thread():
    """Idle connections and requests behind a gate do not keep a thread alive after stop()."""
    arrived = threading.Event()

    def script(request):
        if request.user_text != "held":
            return "a"
        arrived.set()
        return Reply(text="never", gate=threading.Event())

    with httpx.Client() as idle, ThreadPoolExecutor(1) as pool:
        with ScriptedServer(script) as server:
            ask(server, client=idle)
            held = pool.submit(ask, server, "held")
            assert arrived.wait(30)
        assert [] == server_threads()
        with pytest.raises(httpx.TransportError):
            held.result()


def test_start_and_stop_say_what_is_wrong():
    """A second start and a URL of a stopped server are errors; a second stop is none."""
    server = ScriptedServer()
    with pytest.raises(InvalidOperationError, match="does not run"):
        _ = server.openai_url
    server.start()
    with pytest.raises(InvalidOperationError, match="runs already"):
        server.start()
    server.stop()
    server.stop()


def test_a_server_can_start_again():
    """After stop() the same server starts anew and goes on in its script."""
    server = ScriptedServer(["one", "two"])
    with server:
        assert "one" == text_of(ask(server))
    with server:
        assert "two" == text_of(ask(server))
        assert 2 == len(server.requests)


@pytest.mark.parametrize(
    ("path", "content", "status"), [("/v1/nowhere", "{}", 404), ("/v1/chat/completions", "[", 400)]
)
def test_unknown_paths_and_broken_bodies_are_client_errors(path, content, status):
    """What is no request of these APIs gets an error body, not a broken connection."""
    with ScriptedServer() as server:
        response = httpx.post(f"{server.anthropic_url}{path}", content=content)
    assert status == response.status_code
    assert "message" in response.json()["error"]


def test_an_error_needs_an_error_status():
    """An error with the status of success is refused where it is written."""
    with pytest.raises(ValueError, match="400 or above"):
        Reply(error="Too much.")
