"""The fake of the hosted API itself."""

from __future__ import annotations

import gzip
import json

import httpx
import pytest

from lucidic.testing import FakeLucidic


NOW = "2026-01-01T00:00:00+00:00"
SESSION = {"session_id": "s", "session_name": "N", "agent_id": "a", "current_time": NOW}
EVENT = {
    "session_id": "s",
    "type": "generic",
    "payload": {"details": "d"},
    "occurred_at": NOW,
    "current_time": NOW,
    "client_event_id": "e1",
}
LLM = {"request": {"provider": "p", "model": "m"}, "response": {}, "usage": {}}


@pytest.fixture
async def client(fake):
    """An asynchronous client that reaches the fake as an ASGI application."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=fake),
        base_url="http://fake.lucidic.test/api/",
        headers={"Authorization": "Api-Key k"},
    ) as made:
        yield made


async def test_story(fake, client):
    """A session is opened, gets an event once however often it comes, is shown, ended and resumed."""
    assert (await client.post("initsession", json=SESSION)).json()["session_id"] == "s"
    for _ in range(2):
        assert (await client.post("events", json=EVENT)).json() == {"event_id": "e1"}
    assert fake.repeats == {"e1": 1}
    assert len(fake.story("s")) == 1
    end = {"session_id": "s", "is_finished": True, "is_successful": False, "current_time": NOW}
    assert (await client.put("updatesession", json=end)).status_code == 200
    shown = (await client.get("sessions/s")).json()
    assert shown["is_finished"] is True
    assert shown["is_successful"] is False
    await client.post("events", json={**EVENT, "client_event_id": "e2"})
    assert fake.sessions["s"].late_events == 1
    await client.post("initsession", json=SESSION)
    assert (await client.get("sessions/s")).json()["is_finished"] is False


async def test_lists(client):
    """Sessions and events are listed by pages and by filter."""
    for name in ("s", "t"):
        await client.post("initsession", json={**SESSION, "session_id": name})
        await client.post("events", json={**EVENT, "session_id": name, "client_event_id": name})
    assert (await client.get("sessions", params={"limit": 1})).json()["total"] == 2
    (event,) = (await client.get("events", params={"session_id": "t", "type": "generic"})).json()["events"]
    assert event["client_event_id"] == "t"
    assert (await client.get("events/t")).json() == event
    assert (await client.get("events/unknown")).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("initsession", {"session_name": ...}, "session_name is missing"),
        ("initsession", {"tags": "a"}, "tags is 'a'"),
        ("initsession", {"current_time": ...}, "current_time is missing"),
        ("events", {"payload": ...}, "payload is missing"),
        ("events", {"occurred_at": "yesterday"}, "occurred_at is 'yesterday'"),
        ("events", {"duration": "1"}, "duration is '1'"),
        ("events", {"type": "function_call"}, "payload.function_name is missing"),
        ("events", {"type": "error_traceback", "payload": {"error": 1}}, "payload.traceback is missing"),
        (
            "events",
            {"type": "llm_generation", "payload": {**LLM, "request": {"model": "m"}}},
            "payload.request.provider is missing",
        ),
        (
            "events",
            {"type": "llm_generation", "payload": {**LLM, "usage": {"input_tokens": "3"}}},
            "payload.usage.input_tokens is '3'",
        ),
    ],
)
async def test_broken_bodies(fake, client, path, body, said):
    """A body that breaks the protocol is 400, says what is wrong, and stores nothing."""
    await client.post("initsession", json=SESSION)
    whole = {**(SESSION if path == "initsession" else EVENT), **body}
    answer = await client.post(path, json={name: value for name, value in whole.items() if value is not ...})
    assert answer.status_code == 400
    assert said in answer.json()["detail"]
    assert fake.events == {}


async def test_types_of_their_own(client):
    """Events of types that the API does not know hold anything."""
    await client.post("initsession", json=SESSION)
    answer = await client.post("events", json={**EVENT, "type": "my_step", "payload": {"x": 1}})
    assert answer.status_code == 200


async def test_unknown_and_foreign_sessions(fake, client):
    """An unknown session is 404 and another key's is 403, for every kind of request."""
    assert (await client.post("events", json=EVENT)).status_code == 404
    assert (await client.get("sessions/s")).status_code == 404
    await client.post("initsession", json=SESSION)
    theirs = {"Authorization": "Api-Key other"}
    assert (await client.post("events", json=EVENT, headers=theirs)).status_code == 403
    assert (await client.post("initsession", json=SESSION, headers=theirs)).status_code == 403
    assert (await client.get("sessions/s", headers=theirs)).status_code == 403
    assert fake.events == {}


async def test_keys(fake, client):
    """No key is 401, and a denied one gets the status chosen for it."""
    assert (await client.get("sessions", headers={"Authorization": ""})).status_code == 401
    fake.denied["k"] = 402
    assert (await client.get("sessions")).status_code == 402


async def test_old_endpoints(client):
    """The checks of 1.x clients are answered: the key, and whether a session can be continued."""
    body = {"session_id": "s", "current_time": NOW}
    assert "project" in (await client.get("verifyapikey")).json()
    assert (await client.post("continuesession", json=body)).status_code == 404
    await client.post("initsession", json=SESSION)
    assert (await client.post("continuesession", json=body)).json() == {
        "session_id": "s",
        "session_name": "N",
    }
    await client.put("updatesession", json={**body, "is_finished": True})
    assert (await client.post("continuesession", json=body)).status_code == 400


async def test_upload(fake, client):
    """An upload replaces the preview, and is refused with a key, unzipped, or for no event."""
    await client.post("initsession", json=SESSION)
    answer = await client.post("events", json={**EVENT, "needs_blob": True})
    address = answer.json()["blob_url"]
    content = gzip.compress(json.dumps({"details": "long"}).encode())
    zipped = {"content-encoding": "gzip"}
    assert (await client.put(address, content=content, headers=zipped)).status_code == 400
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=fake)) as stranger:
        assert (await stranger.put(address, content=b"{", headers=zipped)).status_code == 400
        assert (await stranger.put(address + "x", content=content, headers=zipped)).status_code == 404
        assert (await stranger.put(address, content=content, headers=zipped)).status_code == 200
    assert fake.events["e1"]["payload"] == {"details": "long"}


async def test_evals(fake, client):
    """An evaluation is kept with its session."""
    await client.post("initsession", json=SESSION)
    body = {"session_id": "s", "result": 0.5, "result_type": "number", "name": "x", "current_time": NOW}
    assert (await client.post("sdk/evals", json=body)).status_code == 200
    assert fake.sessions["s"].evals == [{"result": 0.5, "result_type": "number", "name": "x"}]


async def test_faults(fake, client):
    """Faults hit what they are for, as often as they are for, in their order."""
    fake.fail("events", 503, times=1, retry_after="7")
    fake.drop("events", times=1, stored=True)
    await client.post("initsession", json=SESSION)
    answer = await client.post("events", json=EVENT)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    with pytest.raises(ConnectionResetError):
        await client.post("events", json=EVENT)
    assert list(fake.events) == ["e1"]
    assert (await client.post("events", json=EVENT)).status_code == 200
    assert [request.status for request in fake.requests] == [200, 503, 0, 200]


def test_over_http():
    """Over HTTP the fake answers, drops connections, and ends with its block even while it holds answers back."""
    fake = FakeLucidic()
    with (
        fake.serve() as url,
        httpx.Client(base_url=url + "/", headers={"Authorization": "Api-Key k"}) as client,
    ):
        assert client.get("sessions").json() == {"sessions": [], "total": 0}
        fake.drop(times=1)
        with pytest.raises(httpx.RemoteProtocolError):
            client.get("sessions")
        assert client.get("sessions/a%2Fb").json()["detail"] == "Session a/b does not exist."
        fake.hold()
        with pytest.raises(httpx.ReadTimeout):
            client.get("sessions", timeout=0.05)


def test_transport(fake):
    """A synchronous client reaches the fake without a network."""
    with httpx.Client(transport=fake.transport(), headers={"Authorization": "Api-Key k"}) as client:
        assert client.get("http://anywhere/api/sessions").status_code == 200
        fake.drop()
        with pytest.raises(httpx.ReadError):
            client.get("http://anywhere/api/sessions")
