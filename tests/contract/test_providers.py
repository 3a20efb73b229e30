"""Providers: each can be switched on, repeated, undone, and offered by somebody else's package."""

from __future__ import annotations

import asyncio
import sys
import threading

import openai
import pytest
from agents import set_trace_processors

import lucidic as lai
from lucidic.errors import ConfigurationError, UnknownProviderError
from lucidic.testing import Reply, ScriptedServer

from .test_tokens import (
    client_alone,
    langchain_openai,
    pydantic_anthropic,
    pydantic_openai,
    sdk_chat,
)


CALLS = {
    "langchain": langchain_openai,
    "pydantic_ai": pydantic_openai,
    "openai_agents": sdk_chat,
    "openai": client_alone,
    "anthropic": pydantic_anthropic,
}


@pytest.fixture
def work(captured):
    """Make one call that a provider sees, and return how many spans it left: some clients make one by themselves."""
    set_trace_processors([])

    async def main(name, server):
        async with openai.DefaultAsyncHttpxClient(trust_env=False) as http:
            await CALLS[name](server, http)

    def call(name):
        captured.clear()
        with ScriptedServer(lambda request: Reply(text="hi")) as server:
            asyncio.run(main(name, server))
        return len(captured.spans)

    return call


@pytest.mark.parametrize("name", CALLS)
def test_each_is_switched_off_by_the_last_who_switched_it_on(work, name):
    """Twice on is once on; one ``remove()`` leaves the other's, the last one leaves nothing, one more is harmless."""
    untraced = work(name)
    first, second = lai.instrument(name), lai.instrument(name)
    once = work(name)
    first.remove()
    assert once == work(name) > untraced
    first.remove()
    second.remove()
    second.remove()
    assert untraced == work(name)


@pytest.mark.parametrize("name", CALLS)
def test_each_is_a_block_that_undoes_itself(work, name):
    """As a context manager it is undone at the end, also by an error, and can be entered anew."""
    untraced = work(name)
    for _ in range(2):
        with pytest.raises(LookupError), lai.instrument(name):
            assert work(name) > untraced
            raise LookupError
        assert untraced == work(name)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Somebody's installed package that offers the provider ``acme``, and what was asked of it."""
    info = tmp_path / "acme_tracing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-tracing\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lucidic.providers]\nacme = acme_tracing:instrument\n")
    (tmp_path / "acme_tracing.py").write_text(
        "asked = []\n"
        "def leaving():\n"
        "    pass\n"
        "def instrument(**options):\n"
        "    asked.append(options)\n"
        "    return lambda: (leaving(), asked.append('undone'))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda: sys.modules["acme_tracing"].asked
    sys.modules.pop("acme_tracing", None)


def test_a_package_offers_a_provider(captured, package):
    """An entry point of the group ``lucidic.providers`` is found by its name, given the options, and undone."""
    with lai.instrument("acme", capture_content=False), lai.instrument("acme"):
        assert [{"capture_content": False}] == package()
    assert [{"capture_content": False}, "undone"] == package()


def test_a_package_s_provider_can_be_named_where_a_session_begins(captured, package):
    """``providers=[…]`` of ``session()`` takes it like one of ours."""
    with lai.session(providers=["acme"]):
        assert [{}] == package()


def test_it_is_undone_before_another_thread_switches_it_on_anew(captured, package):
    """Otherwise the undoing would meet what was just patched, and undo that or leave it for ever."""
    again = []
    other = threading.Thread(target=lambda: again.append(lai.instrument("acme")))

    def leaving():
        other.start()
        other.join(0.2)  # it has to wait for us: this is how long it has for not doing so

    with lai.instrument("acme"):
        sys.modules["acme_tracing"].leaving = leaving
    other.join()
    assert [{}, "undone", {}] == package()
    sys.modules["acme_tracing"].leaving = bool
    again[0].remove()


def test_an_unknown_name_lists_those_that_are_there(package):
    """The error names ours and the packages' own."""
    with pytest.raises(UnknownProviderError, match="acme, anthropic, langchain") as raised:
        lai.instrument("acmee")
    assert isinstance(raised.value, ConfigurationError)
