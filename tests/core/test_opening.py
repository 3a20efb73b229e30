"""The options of init() and session(): checked first, applied when the session begins."""

from __future__ import annotations

import types

import pytest

import lucidic as lai
from lucidic._runtime import runtime
from lucidic.errors import (
    APIKeyVerificationError,
    ConfigurationError,
    MissingDependencyError,
    NotInitializedError,
    UnknownProviderError,
)


def fields_of(captured, event="start"):
    return [dict(record.fields) for record in captured.sessions if record.event == event]


def test_all_documented_options_reach_the_sessions_record(captured):
    """Every option that describes the session is in its first record."""
    lai.init(
        "request-123",
        task="summarize",
        tags=["a", "b"],
        rubrics=["quality"],
        production_monitoring=True,
        mass_sim_id="m-1",
        experiment_id="e-1",
        dataset_item_id="d-1",
        user_id="u-1",
        auto_end=False,
        capture_uncaught=True,
    )

    assert [
        {
            "name": "request-123",
            "task": "summarize",
            "tags": ["a", "b"],
            "rubrics": ["quality"],
            "production_monitoring": True,
            "mass_sim_id": "m-1",
            "experiment_id": "e-1",
            "dataset_item_id": "d-1",
            "user_id": "u-1",
            "auto_end": False,
        }
    ] == fields_of(captured)


@pytest.mark.parametrize("function", [lai.init, lai.session])
def test_unknown_option_is_a_type_error_that_names_the_near_one(captured, function):
    """A misspelt option is refused when it is given, and the message says what was probably meant."""
    with pytest.raises(TypeError, match=r"sesion_name.*Did you mean 'session_name'\?"):
        function(sesion_name="x")

    assert [] == captured.sessions


def test_both_names_of_the_key_may_be_given_if_they_agree(captured):
    """lucidic_api_key and api_key are one option; two different values are an error."""
    lai.init(lucidic_api_key="k-1", api_key="k-1", agent_id="a-1")
    assert "k-1" == runtime().settings.api_key

    with pytest.raises(ConfigurationError, match="two names of one key"):
        lai.init(lucidic_api_key="k-1", api_key="k-2", agent_id="a-1")


@pytest.mark.parametrize(
    ("given", "missing"),
    [({"agent_id": "a-1"}, "LUCIDIC_API_KEY"), ({"api_key": "k-1"}, "LUCIDIC_AGENT_ID")],
)
def test_hosted_mode_with_half_a_credential_names_the_variable(captured, given, missing):
    """Asking for the hosted API without all of its credentials is an error before any session begins."""
    with pytest.raises(APIKeyVerificationError, match=missing):
        lai.init("x", **given)

    assert [] == captured.sessions


def test_credentials_may_come_from_the_environment(monkeypatch):
    """LUCIDIC_API_KEY and LUCIDIC_AGENT_ID complete what the arguments leave out."""
    monkeypatch.setenv("LUCIDIC_API_KEY", "k-env")
    with pytest.raises(APIKeyVerificationError, match="LUCIDIC_AGENT_ID"):
        lai.init("x")
    lai.init("x", agent_id="a-1")

    assert ("k-env", "a-1") == runtime().settings.require_credentials()


def test_unknown_provider_lists_the_known_ones(captured):
    """A provider that does not exist is refused, and the message lists those that do."""
    with pytest.raises(
        UnknownProviderError, match="anthropic, langchain, openai, openai_agents, pydantic_ai"
    ):
        lai.session(providers=["opnai"])


def test_provider_may_be_a_module_a_class_or_a_client(monkeypatch):
    """An object of the framework is as good as its name."""
    from lucidic._providers import provider_names

    openai = types.ModuleType("openai")
    Client = type("Client", (), {"__module__": "anthropic._client"})

    assert ("openai", "anthropic", "langchain") == provider_names([openai, Client, Client(), "langchain"])


def test_missing_instrumentor_names_the_extra(captured, monkeypatch):
    """A provider whose package is not installed says what to install."""
    import sys

    monkeypatch.setitem(sys.modules, "openinference.instrumentation.anthropic", None)
    with pytest.raises(MissingDependencyError, match=r"lucidic-adapters\[anthropic\]"):
        lai.init(providers=["anthropic"])


def test_default_providers_instrument_nothing_but_threads(captured):
    """Without providers= no framework or client is touched."""
    lai.init("x")

    assert {"threading"} == set(runtime().instrumentations)


def test_auto_end_is_ignored_in_session_with_one_line(captured, caplog):
    """session(auto_end=...) changes nothing and says so once."""
    caplog.set_level("INFO", logger="lucidic")
    for value in (True, False, None):
        with lai.session(session_id=f"auto-end-session-{value}", auto_end=value):
            pass

    assert 3 == len(fields_of(captured, "end"))
    assert 2 == sum("auto_end is ignored" in message for message in caplog.messages)


def test_init_inside_a_block_keeps_the_blocks_session(captured, caplog):
    """A workflow has one id: init() without an id inside a block reuses the block's and warns."""
    with lai.session("outer") as sid:
        assert sid == lai.init("inner")
    assert any("keeps that session" in message for message in caplog.messages)


def test_failing_block_ends_its_session_unsuccessful_and_passes_the_error_on(captured):
    """The very exception of the body comes out, and each nested session ends once, innermost first."""
    error = KeyError("boom")
    with (
        pytest.raises(KeyError) as caught,
        lai.session("a") as a,
        lai.session("b") as b,
        lai.session("c") as c,
    ):
        raise error

    ends = [record for record in captured.sessions if record.event == "end"]

    assert error is caught.value
    assert [c, b, a] == [record.session_id for record in ends]
    assert {False} == {record.fields["is_successful"] for record in ends}
    assert lai.current_session_id() is None


def test_blocks_of_one_session_end_it_with_the_last(captured):
    """Two overlapping blocks of one id are one session, which ends once."""
    with lai.session(session_id="overlapping-session"):
        with lai.session(session_id="overlapping-session"):
            pass
        assert "overlapping-session" == lai.current_session_id()
        assert [] == fields_of(captured, "end")

    assert 1 == len(fields_of(captured, "end"))


def test_session_ended_inside_its_block_ends_once(captured):
    """end_session() inside the block ends it; the exit adds nothing."""
    with lai.session("a"):
        lai.end_session(is_successful=True)

    assert [{"is_successful": True}] == fields_of(captured, "end")


def test_a_verdict_after_the_block_counts(captured):
    """A block has ended its session; what end_session() says of it then is kept, and it is not ended again."""
    with lai.session(session_id="user_1_conv_1"):
        pass
    lai.end_session("user_1_conv_1")
    lai.end_session("user_1_conv_1", is_successful=True, session_eval=0.5)
    events = [(record.event, record.fields.get("is_successful")) for record in captured.sessions]
    assert events == [("start", None), ("end", None), ("update", True)]


def test_end_session_without_any_session_says_the_way_out(captured):
    """Ending nothing is an error as long as nothing was ever open; a second end is not."""
    with pytest.raises(NotInitializedError, match=r"lai\.init"):
        lai.end_session()
    lai.init("x")
    lai.end_session()
    lai.end_session()

    assert 1 == len(fields_of(captured, "end"))


def test_attached_session_is_not_ended_with_the_process(captured):
    """bind_session() writes no start and no end: the session is somebody else's."""
    from opentelemetry import trace

    with lai.bind_session("of-another-process"), trace.get_tracer("t").start_as_current_span("s"):
        pass
    lai.shutdown(20.0)

    assert {"update"} == {record.event for record in captured.sessions}


def test_settings_of_init_come_back_to_the_environment_after_shutdown():
    """After shutdown() a new init() starts from a clean slate, in a pipeline of its own."""
    lai.init("one", masking_function=lambda text: "*")
    first = runtime()
    assert lai.shutdown(20.0)
    sid = lai.init("two")

    assert runtime() is not first
    assert runtime().settings.masking_function is None
    assert sid == lai.current_session_id()


def test_flush_tells_the_truth_and_the_books_balance():
    """flush() is True when the store has every span, and health() says where they went."""
    from opentelemetry import trace

    assert lai.flush()
    with lai.session("one") as sid, trace.get_tracer("t").start_as_current_span("s"):
        pass

    assert lai.flush(10.0)
    assert 0 == lai.health().unexplained
    assert (1, "finished") == (lai.get_session(sid).spans, lai.get_session(sid).state)


def test_update_session_changes_what_is_known(captured):
    """update_session() writes what is given and leaves the rest."""
    lai.init("x")
    lai.update_session(task="t", is_successful=True)

    assert [{"task": "t", "is_successful": True}] == fields_of(captured, "update")


def test_run_session_and_run_in_session_pass_arguments_and_results_through(captured):
    """Plain, coroutine and generator functions run inside, and give back what they give."""
    import asyncio

    def double(x):
        return lai.current_session_id(), x * 2

    async def double_later(x):
        await asyncio.sleep(0)
        return lai.current_session_id(), x * 2

    def count(x):
        yield lai.current_session_id(), x * 2

    def values(sid=None):
        run = lai.run_session if sid is None else lambda f, **k: lai.run_in_session(sid, f, **k)
        return [run(double, x=5), asyncio.run(run(double_later, x=5)), *run(count, x=5)]

    own = [lai.run_session(double, init_params={"session_name": "wrapped"}, x=5), *values()]
    sid = lai.init("external", auto_end=False)
    attached = values(sid)

    assert 4 == len({found for found, _ in own} - {None})
    assert {(sid, 10)} == set(attached)
    assert 4 == len(fields_of(captured, "end"))
