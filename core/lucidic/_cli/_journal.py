"""``lucidic export``, ``lucidic replay`` and ``lucidic journal``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from lucidic._cli._common import (
    Moment,
    NotThereError,
    UnreadableError,
    as_json,
    console,
    find_session,
    print_json,
    show_on,
    store,
    told_if_slow,
    write_text,
)
from lucidic._view._html import draw_file
from lucidic._view._tree import turns
from lucidic.errors import ConfigurationError


if TYPE_CHECKING:
    from lucidic._export import Store
    from lucidic._export._sink import Batch

_since = click.option("--since", type=Moment(), help="Only spans that started at this time or later.")
_until = click.option("--until", type=Moment(), help="Only spans that started before this time.")
_sessions = click.argument("sessions", nargs=-1)


@click.command(short_help="Write spans as OTLP/JSON lines, or sessions as HTML.")
@_sessions
@_since
@_until
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write; standard output if not given.",
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write one HTML file that needs nothing else; of SESSIONS, or of the newest.",
)
def export(
    sessions: tuple[str, ...], since: int | None, until: int | None, output: Path | None, html: Path | None
) -> None:
    """Write the spans of SESSIONS, or of all, as OTLP/JSON lines, or SESSIONS as one HTML file to read.

    Every line is a whole TracesData of the OpenTelemetry protocol; ids, names or beginnings of ids name a session.
    """
    from lucidic._export._jsonl import json_line

    if html is not None:
        if output is not None or since is not None or until is not None:
            raise click.UsageError(
                "--html writes whole sessions to its own file: leave out -o, --since and --until."
            )
        _export_html(sessions, html)
        return

    with _selected(sessions, since, until) as batches, _opened(output) as file:
        spans = 0
        for batch in batches:
            file.write(json_line(batch, batch.spans))
            spans += len(batch.spans)
    if output is not None:
        click.echo(f"{_spans(spans)} written to {output}.")


def _export_html(wanted: tuple[str, ...], target: Path) -> None:
    with store() as reader:
        chosen = [find_session(reader, name) for name in dict.fromkeys(wanted or (None,))]
        with told_if_slow("Drawing the spans …"):
            drawn = draw_file([(known, turns(reader.spans(known.session_id))) for known in chosen])
    write_text(target, drawn)


@click.command(short_help="Deliver spans to an OTLP endpoint once more.")
@_sessions
@_since
@_until
@click.option(
    "--to", "endpoint", metavar="URL", help="The OTLP/HTTP endpoint; by default the one of the environment."
)
@click.option(
    "--header", "headers", multiple=True, metavar="NAME=VALUE", help="One more header; may be repeated."
)
def replay(
    sessions: tuple[str, ...],
    since: int | None,
    until: int | None,
    endpoint: str | None,
    headers: tuple[str, ...],
) -> None:
    """Deliver the spans of SESSIONS, or of all, to an OTLP endpoint once more.

    For an endpoint that has lost what it had acknowledged. The ids are the same, so that one which knows them
    already can tell. Exit code 1 if not all of them were taken.
    """
    from lucidic import sinks
    from lucidic._export._otlp_config import otlp_config

    given = dict(_header(text) for text in headers)
    try:
        if otlp_config(endpoint, given) is None:
            raise click.UsageError("No endpoint: give --to URL or set OTEL_EXPORTER_OTLP_ENDPOINT.")
        # As the program itself would send them, with what the endpoint's conventions add.
        sink = sinks.otlp(endpoint, headers=given)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    config = sink.config
    delivered = rejected = 0
    try:
        with _selected(sessions, since, until) as batches:
            for batch in batches:
                outcome = sink.deliver(batch, config.timeout)
                delivered, rejected = delivered + outcome.delivered, rejected + outcome.rejected
                if outcome.answer != "ok":
                    raise NotThereError(
                        f"{_spans(delivered)} delivered, then {config.endpoint} failed: {outcome.note}"
                    )
    finally:
        sink.close()
    click.echo(f"{_spans(delivered)} delivered to {config.endpoint}, {rejected} rejected.")
    if rejected:
        click.get_current_context().exit(1)


@click.command(short_help="List the journal's segments.")
@as_json
def journal(as_json: bool) -> None:
    """List the journal's segments: sizes, spans, and how far each sink has come."""
    from lucidic._config import Settings
    from lucidic._export import Exporter

    try:
        exporter = Exporter(Settings.load().home)
        report = _report(exporter)
    except (ConfigurationError, OSError) as error:
        raise UnreadableError(str(error)) from error
    if as_json:
        print_json(report)
    elif not report["segments"]:
        click.echo(f"There are no segments in {report['folder']}.")
    else:
        _draw(report)


def _report(exporter: Any) -> dict[str, Any]:
    from lucidic._export._health import read_books
    from lucidic._export._retention import read_tombstones
    from lucidic._export._segment import created_ns, owner_of

    books = read_books(exporter)
    counts = exporter.census.take()
    segments = []
    for name, count in sorted(counts.items()):
        sinks = {}
        for sink in count.sinks or ():
            position = books[sink].positions.get(name) if sink in books else None
            offset = position.offset if position else 0
            sinks[sink] = {"offset": offset, "pending": count.behind(offset)}
        segments.append(
            {
                "name": name,
                "owner": owner_of(name),
                "created_ns": created_ns(name),
                "open": not count.sealed,
                "bytes": count.size,
                "spans": count.spans,
                "damaged": count.damaged,
                "sinks": sinks,
            }
        )
    folder = exporter.journal.folder
    quarantine = sorted(str(path) for path in (folder / "quarantine").glob("*.seg"))
    dropped = [
        {"name": stone.segment, "reason": stone.reason, "spans": stone.spans}
        for stone in read_tombstones(folder)
    ]
    return {"folder": str(folder), "segments": segments, "dropped": dropped, "quarantine": quarantine}


def _draw(report: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("CREATED", "OWNER", "STATE"):
        table.add_column(heading, no_wrap=True)
    for heading in ("BYTES", "SPANS"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("PENDING", overflow="fold")
    for segment in report["segments"]:
        created = datetime.fromtimestamp(segment["created_ns"] / 1e9, timezone.utc).astimezone()
        pending = [
            f"{sink} {said['pending']:,}" for sink, said in segment["sinks"].items() if said["pending"]
        ]
        cells = (
            f"{created:%Y-%m-%d %H:%M:%S}",
            segment["owner"].partition("-")[2].partition("-")[0],
            "open" if segment["open"] else "closed",
            f"{segment['bytes']:,}",
            f"{segment['spans']:,}",
            ", ".join(pending) or "-",
        )
        table.add_row(*map(Text, cells))
    parts: list[Any] = [Text(report["folder"], "bold"), table]
    parts += [
        Text(f"Dropped ({gone['reason']}): {gone['spans']} spans of {gone['name']}")
        for gone in report["dropped"]
    ]
    parts += [Text(f"Refused by a sink: {path}") for path in report["quarantine"]]
    show_on(console(), *parts)


@contextlib.contextmanager
def _selected(
    wanted: Sequence[str], since: int | None, until: int | None
) -> Generator[Iterator[Batch], None, None]:
    with store() as reader:
        known: Store = reader  # type: ignore[assignment]  # the commands of the journal need the real store
        ids = [find_session(reader, name).session_id for name in wanted]
        yield known.batches(ids, since_ns=since, until_ns=until)


def _spans(count: int) -> str:
    return "1 span" if count == 1 else f"{count} spans"


@contextlib.contextmanager
def _opened(output: Path | None) -> Generator[IO[bytes], None, None]:
    if output is None:
        yield sys.stdout.buffer
        return
    try:
        file = output.open("wb")
    except OSError as error:
        raise UnreadableError(f"Cannot write {output}: {error}") from error
    with file:
        yield file


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise click.UsageError(f"{text!r} is no header. Write --header name=value.")
    return name.strip(), value.strip()
