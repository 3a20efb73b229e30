"""``lucidic demo``."""

from __future__ import annotations

import os

import click

from lucidic import _demo
from lucidic._cli._common import console, told_if_slow
from lucidic._view._live import LiveTree
from lucidic.errors import MissingDependencyError


@click.command(short_help="Hold a short conversation and watch its session.")
def demo() -> None:
    """Hold a short conversation with a LangChain agent, and watch its session.

    The last question passes through LangGraph, PydanticAI, the OpenAI Agents SDK and LangChain, in one trace.

    The real provider answers where OPENAI_API_KEY is set (OPENAI_MODEL and OPENAI_BASE_URL are respected);
    otherwise a scripted server on this machine does, and nothing leaves it.
    """
    click.echo(f"A customer talks to a LangChain agent; {_who_answers()}.\n")
    try:
        with told_if_slow("Loading LangChain …"):
            _demo.load_story()
        # The demo feeds the tree from one thread of its own, and never while the block is entered or left.
        with LiveTree(console()) as tree:
            session_id = _demo.run_demo(on_span=tree.add)
    except MissingDependencyError as error:
        raise click.ClickException(str(error)) from error
    except Exception as error:
        # Whatever the provider's client raises; the trace has it in full.
        raise click.ClickException(
            f"The conversation failed: {error}\nSee what was traced: lucidic show"
        ) from error
    click.echo("Look again:")
    click.echo(f"  lucidic show {session_id}")
    click.echo("  lucidic sessions")


def _who_answers() -> str:
    if os.environ.get("OPENAI_API_KEY"):
        return f"{os.environ.get('OPENAI_MODEL') or _demo.DEFAULT_MODEL} answers"
    return "a scripted server on this machine answers.\nSet OPENAI_API_KEY for a real model"
