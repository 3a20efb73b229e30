"""The demo: one conversation with a LangChain agent, traced as a user would trace it.

The conversation itself is in ``lucidic_adapters.langchain._demo``, because the core imports no framework;
here is what surrounds it: which provider answers, the session, and the handler.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

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
    scripted: bool


def run_demo(*, on_turn: Callable[[str, str], None] | None = None) -> str:
    """Hold the demo's conversation in a session of its own, and return the session's id.

    Args:
        on_turn: called after each turn with the question and the answer.

    Raises:
        MissingDependencyError: if the extra ``demo`` is not installed.
    """
    story = load_story()

    import lucidic as lai
    from lucidic.langchain import LucidicHandler

    with lai.session(session_name=SESSION_NAME) as session_id:
        converse(story, thread_id=session_id, callbacks=[LucidicHandler()], on_turn=on_turn)
    return str(session_id)


def converse(
    story: ModuleType,
    *,
    thread_id: str,
    callbacks: Sequence[Any] = (),
    on_turn: Callable[[str, str], None] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Hold the conversation with the provider that the environment names."""
    with provider(story, environ) as answering:
        for question, answer in story.converse(
            thread_id=thread_id,
            model=answering.model,
            api_key=answering.api_key,
            base_url=answering.base_url,
            responses=answering.responses,
            callbacks=callbacks,
        ):
            if on_turn is not None:
                on_turn(question, answer)


@contextmanager
def provider(story: ModuleType, environ: Mapping[str, str]) -> Generator[Provider, None, None]:
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
            scripted=False,
        )
        return

    from lucidic.testing import ScriptedServer

    with ScriptedServer(story.script) as server:
        yield Provider(
            model=DEFAULT_MODEL, api_key="none", base_url=server.openai_url, responses=True, scripted=True
        )


def load_story() -> ModuleType:
    """Import the conversation and what it needs.

    Raises:
        MissingDependencyError: if the extra ``demo`` is not installed.
    """
    try:
        from lucidic_adapters.langchain import _demo as story
    except ModuleNotFoundError as error:
        missing = (error.name or "langchain_openai").partition(".")[0]
        if missing.startswith("lucidic"):
            raise
        raise MissingDependencyError(f"The package {missing}, which the demo needs,", "demo") from error
    return story
