"""``lucidic doctor``."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final, cast

import click
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from lucidic._cli._common import UnreadableError, as_json, console, print_json, show_on, store
from lucidic._config import Settings
from lucidic._export._network import network_kind
from lucidic._view._words import count, one_line
from lucidic.errors import ConfigurationError


if TYPE_CHECKING:
    from lucidic._export import Health

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


@click.command(short_help="Check versions, settings, the store and the books.")
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
    report: dict[str, Any] = {"versions": _versions(), "settings": {}, "store": None, "ledger": None}
    report["problems"] = problems
    try:
        settings = Settings.load()
    except ConfigurationError as error:
        problems.append(str(error))
        return report
    report["settings"] = {name: _setting(settings, name) for name in settings.origins}
    try:
        report["store"] = _store(settings)
        health = _health(settings)
    except UnreadableError as error:
        problems.append(error.message)
        return report
    report["ledger"] = _ledger(health)
    problems.extend(_stuck(health))
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
    elif value == float("inf"):
        value = "never"  # JSON has no infinity
    elif isinstance(value, tuple):
        value = ", ".join(value) or "none"
    elif not isinstance(value, (bool, int, float, type(None))):
        value = str(value)
    return {"value": value, "origin": settings.origins[name]}


def _store(settings: Settings) -> dict[str, Any]:
    with store() as reader:
        known = reader.sessions()
        unattributed = len(reader.spans(unattributed=True))
    return {
        "home": str(settings.home),
        "network": network_kind(settings.home),
        "writable": os.access(settings.home, os.W_OK),
        "sessions": len(known),
        "spans": sum(session.spans for session in known) + unattributed,
        "unattributed": unattributed,
    }


def _health(settings: Settings) -> Health:
    given = click.get_current_context().find_object(dict) or {}
    if "health" in given:
        return cast("Health", given["health"])
    from lucidic._runtime import _make_exporter

    exporter = _make_exporter(settings)
    try:
        return exporter.health()
    finally:
        if exporter.store is not None:
            exporter.store.close()


def _ledger(health: Health) -> dict[str, Any]:
    """Return the books of all processes of the folder, sink by sink."""
    return {
        "segments": health.segments,
        "spool_bytes": health.spool_bytes,
        "unexplained": health.unexplained,
        "sinks": [
            {
                "name": sink.name,
                "state": sink.state,
                "note": sink.note,
                "produced": sink.produced,
                "delivered": sink.delivered,
                "rejected": sink.rejected,
                "dropped": dict(sink.dropped),
                "pending": sink.pending,
                "unexplained": sink.unexplained,
            }
            for sink in health.sinks
        ],
    }


def _stuck(health: Health) -> Iterator[str]:
    """Yield what somebody has to do something about; what was dropped is in the books, with its reason."""
    if health.failure is not None:
        yield f"The journal cannot be written: {health.failure}"
    for sink in health.sinks:
        if sink.state in {"retrying", "paused", "failed"}:
            yield f"Sink {sink.name} is {sink.state}: {sink.note}"
    if health.unexplained:
        yield f"The books do not balance: {count(health.unexplained, 'span')} unexplained. This is a bug in lucidic."


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
        loose = f"{kept['unattributed']:,} without a session" + (
            " (lucidic unattributed)" if kept["unattributed"] else ""
        )
        remote = f" (on a network file system: {kept['network']})" if kept["network"] else ""
        parts += _section("Store", {"folder": f"{kept['home']}{remote}", "holds": f"{held}, {loose}"})
    if report["ledger"] is not None:
        parts += [Text("Ledger", "bold"), _draw_ledger(report["ledger"]), Text()]
    verdict = [Text(f"✗ {one_line(problem)}", "red") for problem in report["problems"]]
    show_on(screen, *parts, *(verdict or [Text("Everything is in order.", "green")]))


def _draw_ledger(ledger: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("  SINK", "STATE"):
        table.add_column(heading, no_wrap=True)
    for heading in ("PRODUCED", "DELIVERED", "REJECTED", "DROPPED", "PENDING"):
        table.add_column(heading, justify="right", no_wrap=True)
    for sink in ledger["sinks"]:
        dropped = sum(sink["dropped"].values())
        reasons = f" ({', '.join(sink['dropped'])})" if dropped else ""
        figures = (f"{sink[key]:,}" for key in ("produced", "delivered", "rejected"))
        cells = (
            f"  {sink['name']}",
            sink["state"],
            *figures,
            f"{dropped:,}{reasons}",
            f"{sink['pending']:,}",
        )
        table.add_row(*map(Text, cells))
    return table


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
