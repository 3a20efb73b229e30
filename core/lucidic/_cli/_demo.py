"""``lucidic demo``."""

from __future__ import annotations

import os

import click

from lucidic.errors import MissingDependencyError


@click.command()
def demo() -> None:
    """Hold a short conversation with a LangChain agent and trace it.

    The real provider answers where OPENAI_API_KEY is set (OPENAI_MODEL and OPENAI_BASE_URL are respected);
    otherwise a scripted server on this machine does, and nothing leaves it.
    """
    from lucidic import _demo

    answering = (
        f"{os.environ.get('OPENAI_MODEL') or _demo.DEFAULT_MODEL} answers"
        if os.environ.get("OPENAI_API_KEY")
        else "a scripted server on this machine answers; set OPENAI_API_KEY for a real model"
    )
    click.echo(f"A customer talks to a LangChain agent ({answering}).\n")
    try:
        session_id = _demo.run_demo(on_turn=_print_turn)
    except MissingDependencyError as error:
        raise click.ClickException(str(error)) from error
    click.echo("Look again:")
    click.echo(f"  lucidic show {session_id}")
    click.echo("  lucidic sessions")


def _print_turn(question: str, answer: str) -> None:
    click.echo(f"Customer: {question}\nAgent:    {answer}\n")
