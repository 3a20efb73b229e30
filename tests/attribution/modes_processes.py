"""Modes of several processes: forked, spawned and served by a fork server, each with the session as it can be."""

from __future__ import annotations

import atexit
import functools
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link

import lucidic as lai
from lucidic.testing import capture_spans

from .cells import Cell, Mode
from .jobs import Job


def _fork(cell: Cell, work: Callable[[], None]) -> None:
    """Do the work in a forked process, and take over the spans that it made there."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_forked, args=(cell, work, sender))
    process.start()
    sender.close()
    _take(cell, receiver.recv())
    process.join()


def _forked(cell: Cell, work: Callable[[], None], sender: Connection) -> None:
    cell.captured.clear()
    work()
    sender.send(_packed(cell.captured.started, cell.captured.spans))


def forked_inside(cell: Cell) -> None:
    """Forked inside the session: the child has it."""
    for job in cell.jobs:
        mark = cell.begin(job, "run")
        with cell.block(job):
            _fork(cell, functools.partial(cell.workload.run, str(mark), **cell.way.named(job)))
        cell.done(mark)
    cell.outside()


def forked_outside(cell: Cell) -> None:
    """Forked outside of every session, which the child enters; nothing comes back to the parent."""

    def inside(job: Job, prompt: str) -> None:
        with cell.block(job):
            cell.workload.run(prompt, **cell.way.named(job))

    for job in cell.jobs:
        mark = cell.begin(job, "run")
        _fork(cell, functools.partial(inside, job, str(mark)))
        cell.done(mark)
        cell.outside()


def _served(
    workload: str, way: str, session_id: str, prompt: str, carrier: dict[str, str] | None, *, enter: bool
) -> Any:
    """Do a job in a process that began without any; this is what a spawned process runs."""
    from .matrix import way_named, workload_named

    what = workload_named(workload)
    how = way_named(what, way)
    job = Job(session_id)
    with capture_spans(**how.settings) as captured, what.instrumented():
        # Not in the runtime that the call came with: what it binds there is not bound here.
        if carrier is not None:
            with lai.extract(carrier):
                what.run(prompt, **how.named(job))
        elif enter:
            with how.block(job):
                what.run(prompt, **how.named(job))
        else:
            what.run(prompt, **how.named(job))
    return _packed(captured.started, captured.spans)


@functools.cache
def _pool(method: str) -> ProcessPoolExecutor:
    """Return a pool of one process, started outside of every session and used by all cells."""
    context: Any = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["tests.attribution.matrix"])
    pool = ProcessPoolExecutor(1, mp_context=context)
    atexit.register(pool.shutdown)
    pool.submit(int).result()
    return pool


def _serve(cell: Cell, method: str, *, carried: bool = False, enter: bool = False) -> None:
    for job in cell.jobs:
        mark = cell.begin(job, "run")
        carrier: dict[str, str] | None = {} if carried else None
        with cell.block(job):
            if carrier is not None:
                lai.inject(carrier)
            call = (_served, cell.workload.name, cell.way.name, job.session_id, str(mark), carrier)
            answer = _pool(method).submit(*call, enter=enter)
        _take(cell, answer.result())
        cell.done(mark)
    cell.outside()


def _packed(started: list[ReadableSpan], spans: list[ReadableSpan]) -> Any:
    ended = {span.context.span_id for span in spans}
    unended = [span.name for span in started if span.context.span_id not in ended]
    return unended, [
        {
            "name": span.name,
            "context": span.context,
            "parent": span.parent,
            "attributes": dict(span.attributes or {}),
            "links": [(link.context, dict(link.attributes or {})) for link in span.links],
            "scope": span.instrumentation_scope.name if span.instrumentation_scope else "",
        }
        for span in spans
    ]


def _take(cell: Cell, packed: Any) -> None:
    unended, spans = packed
    assert [] == unended
    for span in spans:
        links = [Link(*link) for link in span.pop("links")]
        scope = InstrumentationScope(span.pop("scope"))
        cell.captured.spans.append(ReadableSpan(**span, links=links, instrumentation_scope=scope))


def _mode(method: str, name: str, **how: bool) -> Mode:
    return Mode(f"{method}: {name}", functools.partial(_serve, method=method, **how), apart=2)


MODES = (
    Mode("forked inside the session", forked_inside, apart=1),
    Mode("forked, the child enters the session", forked_outside, apart=1),
    *(
        mode
        for method in ("spawn", "forkserver")
        for mode in (
            _mode(method, "the child enters the session", enter=True),
            _mode(method, "a carrier", carried=True),
            _mode(method, "submitted inside the session"),
        )
    ),
)
