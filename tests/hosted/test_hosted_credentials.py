"""Credentials of the hosted API: missing, refused, good, and nobody there to ask."""

from __future__ import annotations

import time

import pytest

import lucidic as lai
from lucidic._export._hosted_config import HostedConfig, hosted_config
from lucidic._export._hosted_registry import GOOD_SECONDS, UNANSWERED_SECONDS, HostedRegistry
from lucidic._runtime import runtime
from lucidic.errors import (
    APIKeyVerificationError,
    ConfigurationError,
    InvalidOperationError,
    LucidicError,
    SessionFinishedError,
    SessionNotFoundError,
)


CONFIG = HostedConfig(api_key="k", agent_id="a", base_url="http://fake.lucidic.test/api")


@pytest.fixture
def now():
    """A time that tests move on."""
    return [time.time()]


@pytest.fixture
def registry(fake, tmp_path, now):
    return HostedRegistry(
        config=CONFIG, folder=tmp_path / "hosted", transport=fake.transport(), clock=lambda: now[0]
    )


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"LUCIDIC_API_KEY": "k"}, "LUCIDIC_AGENT_ID"),
        ({"LUCIDIC_AGENT_ID": "a"}, "LUCIDIC_API_KEY"),
    ],
)
@pytest.mark.parametrize(
    "call",
    [lai.init, lambda: lai.session().__enter__(), lambda: lai.continue_session("s")],
    ids=["init", "session", "continue"],
)
def test_missing_credential(monkeypatch, variables, named, call):
    """Hosted mode with one credential missing is an error that names its variable."""
    lai.init(session_id="s", auto_end=False)
    lai.shutdown()
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(APIKeyVerificationError, match=named):
        call()


@pytest.mark.parametrize("status", [401, 403])
def test_refused_key(hosted, status):
    """A key that the backend refuses is an error of init(), and opens no session."""
    hosted.denied["key-1"] = status
    with pytest.raises(APIKeyVerificationError, match=f"{status}.*LUCIDIC_API_KEY"):
        lai.init()
    assert lai.current_session_id() is None
    assert hosted.sessions == {}


def test_credentials_as_arguments(hosted):
    """Arguments outrank the variables, under both names of the key."""
    hosted.denied["key-1"] = 401
    lai.init(lucidic_api_key="good", agent_id="other")
    lai.end_session()
    lai.init(api_key="good", agent_id="other")
    lai.end_session()
    assert lai.flush(10)
    used = {(request.headers["authorization"], request.headers["x-agent-id"]) for request in hosted.requests}
    assert used == {("Api-Key good", "other")}


def test_key_given_later(hosted, monkeypatch):
    """A key that is given when spans were already recorded adds the sink for what follows."""
    monkeypatch.delenv("LUCIDIC_API_KEY")
    monkeypatch.delenv("LUCIDIC_AGENT_ID")
    with lai.session():
        pass
    session_id = lai.init(api_key="late", agent_id="a")
    lai.end_session()
    assert lai.flush(10)
    assert list(hosted.sessions) == [session_id]


def test_wrong_key_mended(hosted, monkeypatch):
    """A sink that began with a refused key goes on with the good one, and has lost nothing."""
    hosted.denied["key-1"] = 401
    with lai.session() as first:
        runtime().provider().get_tracer("t").start_span("s").end()
    assert not lai.flush(10)
    lai.init(api_key="good")
    assert lai.flush(10)
    assert len(hosted.story(first)) == 1


def test_good_key_is_asked_once(fake, registry, now):
    """A key that was accepted is not asked about again for a day, by no process of this home."""
    registry.check_key()
    again = HostedRegistry(
        config=CONFIG, folder=registry.folder, transport=fake.transport(), clock=registry.clock
    )
    again.check_key()
    assert len(fake.requests) == 1
    now[0] += GOOD_SECONDS + 60
    again.check_key()
    assert len(fake.requests) == 2
    assert all(b"k" != path.read_bytes() for path in registry.folder.iterdir())


def test_nobody_answers(fake, registry, now):
    """Offline, init() goes on; the same process waits again only after a while."""
    fake.drop()
    registry.check_key()
    registry.check_key()
    assert len(fake.requests) == 1
    now[0] += UNANSWERED_SECONDS + 1
    registry.check_key()
    assert len(fake.requests) == 2


def test_offline_init(monkeypatch):
    """init() with nobody at the backend's address opens the session all the same."""
    monkeypatch.setenv("LUCIDIC_BASE_URL", "http://127.0.0.1:1/api")
    monkeypatch.setenv("LUCIDIC_API_KEY", "k")
    monkeypatch.setenv("LUCIDIC_AGENT_ID", "a")
    session_id = lai.init()
    assert lai.current_session_id() == session_id
    lai.shutdown()
    with pytest.raises(SessionNotFoundError):
        lai.continue_session("nobody-knows-it")


def test_sink_finds_the_key_refused(hosted, registry):
    """A key that is withdrawn later makes the next init() ask again, and say so."""
    lai.init()
    lai.end_session()
    assert lai.flush(10)
    hosted.denied["key-1"] = 401
    with lai.session():
        pass
    assert not lai.flush(10)
    lai.shutdown()
    with pytest.raises(APIKeyVerificationError):
        lai.init()


def test_session_block_does_not_wait(hosted):
    """A session block asks nobody for anything, even if nothing is known of the key."""
    hosted.hold()
    with lai.session():
        pass
    hosted.heal()


def test_continue_remote_session(hosted):
    """A session of another machine can be continued if the backend knows it and it is not finished."""
    hosted.respond(*_open("far"))
    assert lai.continue_session("far") == "far"
    lai.end_session()
    assert lai.flush(10)
    assert hosted.sessions["far"].is_finished
    lai.shutdown()
    with pytest.raises(SessionFinishedError, match="reopen=True"):
        lai.continue_session("far")
    assert lai.continue_session("far", reopen=True) == "far"


def test_finished_elsewhere(hosted):
    """A session that another machine has finished is refused, though this one left it open."""
    lai.init(session_id="s", auto_end=False)
    assert lai.flush(10)
    lai.shutdown()
    hosted.sessions["s"].is_finished = True
    with pytest.raises(SessionFinishedError):
        lai.continue_session("s")


def test_continue_unknown(hosted):
    """An unknown id is an InvalidOperationError before anything is sent for it."""
    with pytest.raises(InvalidOperationError):
        lai.continue_session("nobody-knows-it")
    assert {request.method for request in hosted.requests} == {"GET"}


def test_continue_with_other_credentials(hosted):
    """A session of another key is refused with 403, which is an APIKeyVerificationError."""
    hosted.respond(*_open("theirs", key="key-2"))
    with pytest.raises(APIKeyVerificationError, match="403"):
        lai.continue_session("theirs")


def test_one_base():
    """The errors of the documents have one base."""
    assert issubclass(APIKeyVerificationError, LucidicError)
    assert issubclass(InvalidOperationError, LucidicError)


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({}, "https://backend.lucidic.ai/api"),
        ({"LUCIDIC_REGION": "India"}, "https://in.backend.lucidic.ai/api"),
        ({"LUCIDIC_BASE_URL": "http://h:1/api/", "LUCIDIC_REGION": "india"}, "http://h:1/api"),
        ({"LUCIDIC_DEBUG": "TRUE", "LUCIDIC_BASE_URL": "http://h:1/api"}, "http://localhost:8000/api"),
        ({"LUCIDIC_DEBUG": "1"}, "https://backend.lucidic.ai/api"),
    ],
)
def test_address(environ, address):
    """The address is found as the 3.x client finds it: debug, then base URL, then region."""
    assert hosted_config("k", "a", environ).base_url == address


@pytest.mark.parametrize(
    "environ",
    [
        {"LUCIDIC_REGION": "mars"},
        {"LUCIDIC_BASE_URL": "backend.lucidic.ai"},
        {"LUCIDIC_TIMEOUT": "soon"},
        {"LUCIDIC_BLOB_THRESHOLD": "10"},
    ],
)
def test_variables_that_cannot_be_used(environ, monkeypatch):
    """A variable that cannot be used is an error that names it, from init() and not from a span."""
    (name,) = environ
    for variable, value in {**environ, "LUCIDIC_API_KEY": "k", "LUCIDIC_AGENT_ID": "a"}.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=name):
        lai.init()
    with runtime().provider().get_tracer("t").start_as_current_span("s"):
        pass


def test_sink_name_is_that_of_the_target():
    """The cursor's name depends on backend and agent, not on the key, and is a file name."""
    other_key = HostedConfig(api_key="other", agent_id="a", base_url=CONFIG.base_url)
    other_agent = HostedConfig(api_key="k", agent_id="b", base_url=CONFIG.base_url)
    assert CONFIG.name == other_key.name != other_agent.name
    assert CONFIG.name.startswith("hosted-fake.lucidic.test-")
    assert "other" not in repr(other_key)


def _open(session_id, key="key-1"):
    body = {
        "session_id": session_id,
        "session_name": "N",
        "agent_id": "agent-1",
        "current_time": "2026-01-01T00:00:00+00:00",
    }
    import json

    headers = {"authorization": f"Api-Key {key}"}
    return "POST", "/api/initsession", {}, headers, json.dumps(body).encode()
