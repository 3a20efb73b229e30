"""The demo: one conversation, first with a LangChain agent, then through three frameworks at once.

The conversation itself is in ``lucidic_adapters.langchain._demo`` and ``lucidic_adapters._demo``, because the core
imports no framework; here is what surrounds it: which provider answers, the session, and the handler.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, Final, Protocol

from lucidic._records import StoredSpan
from lucidic.errors import MissingDependencyError


DEFAULT_MODEL: Final = "gpt-4o-mini"
SESSION_NAME: Final = "Demo: where is my order?"


@dataclass(frozen=True, kw_only=True, slots=True)
class Provider:
    """Who answers the demo's agent."""

    model: str
    api_key: str
    base_url: str | None
    responses: bool
    """Whether the responses API is sure to be there; OpenAI-compatible servers often lack it."""
    scripted: bool = False
    """It is the scripted server on this machine, which no proxy of the environment reaches."""


class Listener(Protocol):
    """What gives finished spans until it is closed; the exporter's listeners do."""

    def __iter__(self) -> Iterator[StoredSpan]: ...
    def close(self) -> None: ...


def run_demo(*, on_span: Callable[[StoredSpan], object] | None = None) -> str:
    """Hold the demo's conversation in a session of its own, and return the session's id.

    Args:
        on_span: called with each span of the session soon after it has finished, in one thread that is not
            the caller's; every span has been given when this function returns.

    Raises:
        MissingDependencyError: if the extra ``demo`` is not installed.
    """
    story, team = load_story(), load_team()

    import lucidic as lai
    from lucidic._runtime import runtime
    from lucidic.langchain import LucidicHandler

    with lai.session(session_name=SESSION_NAME) as session_id, ExitStack() as stack:
        if on_span is not None:
            stack.enter_context(feeding(runtime().exporter.listen(session_id), on_span))
        converse(story, team, thread_id=session_id, callbacks=[LucidicHandler()])
    return session_id


@contextmanager
def feeding(listener: Listener, on_span: Callable[[StoredSpan], object]) -> Generator[None, None, None]:
    """Hand a listener's spans on in a thread of its own; leaving the block waits for the last one."""

    def feed() -> None:
        for span in listener:
            on_span(span)

    thread = threading.Thread(target=feed, name="lucidic-demo", daemon=True)
    thread.start()
    try:
        yield
    finally:
        listener.close()
        thread.join()


def converse(
    story: ModuleType,
    team: ModuleType | None = None,
    *,
    thread_id: str,
    callbacks: Sequence[Any] = (),
    environ: Mapping[str, str] = os.environ,
) -> list[tuple[str, str]]:
    """Hold the conversation with the provider that the environment names; return questions and answers."""
    with provider(story, environ, team) as answering:
        told: list[tuple[str, str]] = list(
            story.converse(
                thread_id=thread_id,
                model=answering.model,
                api_key=answering.api_key,
                base_url=answering.base_url,
                responses=answering.responses,
                callbacks=callbacks,
            )
        )
        if team is not None:
            with team.instrumented():
                asked = team.Team(
                    model=answering.model,
                    api_key=answering.api_key,
                    base_url=answering.base_url,
                    trust_env=not answering.scripted,
                )
                told.append((team.QUESTION, asked.ask()))
        return told


@contextmanager
def provider(
    story: ModuleType, environ: Mapping[str, str], team: ModuleType | None = None
) -> Generator[Provider, None, None]:
    """Give the provider that answers: the real one where ``OPENAI_API_KEY`` is set, otherwise a scripted one.

    ``OPENAI_MODEL`` names the real provider's model (default ``gpt-4o-mini``), ``OPENAI_BASE_URL`` its address.
    """
    api_key = environ.get("OPENAI_API_KEY")
    if api_key:
        base_url = environ.get("OPENAI_BASE_URL") or None
        yield Provider(
            model=environ.get("OPENAI_MODEL") or DEFAULT_MODEL,
            api_key=api_key,
            base_url=base_url,
            responses=base_url is None,
        )
        return

    from lucidic.testing import Reply, ScriptedRequest, ScriptedServer

    def script(request: ScriptedRequest) -> Reply | str:
        reply: Reply | str = (team and team.script(request)) or story.script(request)
        return reply

    with ScriptedServer(script) as server:
        yield Provider(
            model=DEFAULT_MODEL, api_key="none", base_url=server.openai_url, responses=True, scripted=True
        )


def load_story() -> ModuleType:
    """Import the conversation with a LangChain agent and what it needs.

    Raises:
        MissingDependencyError: if the extra ``demo`` is not installed.
    """
    return _load("lucidic_adapters.langchain._demo")


def load_team() -> ModuleType:
    """Import the turn that passes through three frameworks and what it needs.

    Raises:
        MissingDependencyError: if the extra ``demo`` is not installed.
    """
    return _load("lucidic_adapters._demo")


def _load(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:  # PydanticAI raises its own where openai is missing
        missing = (error.name or "openai").partition(".")[0]
        if missing.startswith("lucidic"):
            raise
        raise MissingDependencyError(f"The package {missing}, which the demo needs,", "demo") from error
