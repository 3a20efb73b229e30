"""``lucidic doctor``."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import click
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from lucidic._cli._common import UnreadableError, as_json, console, print_json, show_on, store
from lucidic._config import Settings
from lucidic._view._words import count, one_line
from lucidic.errors import ConfigurationError


_PACKAGES: Final = (
    "lucidic-adapters",
    "opentelemetry-sdk",
    "openinference-instrumentation",
    "sqlalchemy",
    "langchain-core",
    "langchain",
    "langgraph",
    "pydantic-ai-slim",
    "openai-agents",
)
_SECRET: Final = {"api_key"}


@click.command()
@as_json
def doctor(as_json: bool) -> None:
    """Check versions, settings, the store and the books, and say what is wrong.

    Exit code 1 when something is.
    """
    report = _report()
    if as_json:
        print_json(report)
    else:
        _draw(report)
    if report["problems"]:
        click.get_current_context().exit(1)


def _report() -> dict[str, Any]:
    problems: list[str] = []
    report: dict[str, Any] = {"versions": _versions(), "settings": {}, "store": None, "problems": problems}
    try:
        settings = Settings.load()
    except ConfigurationError as error:
        problems.append(str(error))
        return report
    report["settings"] = {name: _setting(settings, name) for name in settings.origins}
    try:
        report["store"] = _store(settings)
    except UnreadableError as error:
        problems.append(error.message)
    return report


def _versions() -> dict[str, str | None]:
    return {"python": platform.python_version(), **{package: _version(package) for package in _PACKAGES}}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _setting(settings: Settings, name: str) -> dict[str, Any]:
    value = getattr(settings, name)
    if name in _SECRET:
        value = None if value is None else "set"
    elif not isinstance(value, (bool, int, float, type(None))):
        value = str(value)
    return {"value": value, "origin": settings.origins[name]}


def _store(settings: Settings) -> dict[str, Any]:
    with store() as reader:
        known = reader.sessions()
        unattributed = len(reader.spans(unattributed=True))
    return {
        "home": str(settings.home),
        "writable": os.access(settings.home, os.W_OK),
        "sessions": len(known),
        "spans": sum(session.spans for session in known) + unattributed,
        "unattributed": unattributed,
    }


def _draw(report: dict[str, Any]) -> None:
    screen = console()
    kept = report["store"]
    parts = [
        *_section("Versions", {name: found or "not installed" for name, found in report["versions"].items()})
    ]
    settings = {
        name: f"{_shown(said['value'])}  ({said['origin']})" for name, said in report["settings"].items()
    }
    parts += _section("Settings", settings)
    if kept is not None:
        held = f"{count(kept['sessions'], 'session')}, {count(kept['spans'], 'span')}"
        loose = f"{kept['unattributed']:,} without a session"
        parts += _section("Store", {"folder": kept["home"], "holds": f"{held}, {loose}"})
    verdict = [Text(f"✗ {one_line(problem)}", "red") for problem in report["problems"]]
    show_on(screen, *parts, *(verdict or [Text("Everything is in order.", "green")]))


def _section(title: str, facts: dict[str, str]) -> list[RenderableType]:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(Text(f"  {name}"), Text(value))
    return [Text(title, "bold"), table, Text()] if facts else []


def _shown(value: Any) -> str:
    return (
        "not set"
        if value is None
        else str(value).lower()
        if isinstance(value, bool)
        else one_line(str(value))
    )
