"""The cell by which a wrapped call learns which run it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Final, TypeAlias

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from lucidic.adapterkit import beneath
from lucidic_adapters.langchain._runs import RUNS, Run
from lucidic_adapters.langchain._streamed import Streamed


Configurable: TypeAlias = Mapping[str, Any] | Iterator[Mapping[str, Any] | None] | None
"""One for the call, or one for each input of a batch, in their order."""


class Cell:
    """The runs that a wrapped call started."""

    __slots__ = ("around", "configurable", "enters", "kind", "runs", "single", "streamed", "subject")

    def __init__(
        self,
        kind: str,
        *,
        enters: bool = False,
        single: bool = True,
        configurable: Configurable = None,
        streamed: Streamed | None = None,
        subject: object = None,
    ) -> None:
        self.kind = kind
        """The kind of its runs; empty for any."""
        self.configurable = configurable
        """What the call's config says, which LangChain keeps from the callbacks of such runs."""
        self.streamed = streamed
        """What the stream that the call made gives its consumer."""
        self.subject = subject
        """What is called."""
        self.around: Cell | None = None
        """The cell of the stream that this call's stream is read for: events are made from another stream."""
        self.enters = enters
        """The code of the run follows its start callback in the same frame."""
        self.single = single
        self.runs: list[Run] = []

    def enter(self, before: Cell | None) -> None:
        """Take the place of the cell ``before`` while the call begins."""
        if before is not None and self.around is None:
            if before.streamed is not None:
                self.around = before
            if self.configurable is None and not before.runs:
                self.configurable = before.configurable
        cell_here.set(self)

    def abandon(self, error: BaseException) -> None:
        """End what LangChain forgot when ``error`` left the call."""
        for run in self.runs:
            if len(self.runs) > 1 and isinstance(error, Exception):
                RUNS.close(run)  # the error belongs to one of them, and LangChain has ended that one
            else:
                RUNS.fail(run, error)


cell_here: Final[ContextVar[Cell | None]] = ContextVar("lucidic_langchain_cell", default=None)


def awaits(kind: str) -> bool:
    """Tell whether the call around this callback said that the run which starts is of that kind."""
    cell = cell_here.get()
    return cell is not None and cell.kind == kind and not cell.runs


def called(run: Run) -> object:
    """Return the object whose call around this callback started the run, or ``None``."""
    cell = cell_here.get()
    return cell.subject if cell is not None and cell.runs and cell.runs[-1] is run else None


def told_here() -> Configurable:
    """Return what the call around this code was told of ``configurable``, while its run has not begun."""
    cell = cell_here.get()
    return None if cell is None or cell.runs else cell.configurable


def configurable_here() -> Mapping[str, Any] | None:
    """Return the ``configurable`` of the run that starts next: the call's, or the next input's of a batch."""
    told = told_here()
    return told if told is None or isinstance(told, Mapping) else next(told, None)


def claim(run: Run) -> None:
    """Tell the wrapped call around this callback that ``run`` is its run."""
    cell = cell_here.get()
    if cell is None or (cell.kind and cell.kind != run.kind) or (cell.single and cell.runs):
        return
    cell.runs.append(run)
    run.streamed = cell.streamed
    around = cell.around
    while around is not None and not around.runs:
        around.runs.append(run)
        run.streamed = run.streamed or around.streamed
        around = around.around
    if cell.enters:
        otel_context.attach(beneath(run.context))


def restore(outer: Context) -> None:
    """Put the caller's context back, by value: safe in whatever task or context this is."""
    if otel_context.get_current() is not outer:
        otel_context.attach(outer)
