"""The cell by which a wrapped call learns which run it is."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from lucidic.adapterkit import beneath
from lucidic_adapters.langchain._runs import RUNS, Run


class Cell:
    """The runs that a wrapped call started."""

    __slots__ = ("configurable", "enters", "kind", "runs", "single")

    def __init__(
        self,
        kind: str,
        *,
        enters: bool = False,
        single: bool = True,
        configurable: Mapping[str, Any] | None = None,
    ) -> None:
        self.kind = kind
        self.configurable = configurable
        """What the call's config says, which LangChain keeps from the callbacks of such runs."""
        self.enters = enters
        """The code of the run follows its start callback in the same frame."""
        self.single = single
        self.runs: list[Run] = []

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


def configurable_here() -> Mapping[str, Any] | None:
    """Return the ``configurable`` of the call around this code, while its run has not begun."""
    cell = cell_here.get()
    return None if cell is None or cell.runs else cell.configurable


def claim(run: Run) -> None:
    """Tell the wrapped call around this callback that ``run`` is its run."""
    cell = cell_here.get()
    if cell is None or cell.kind != run.kind or (cell.single and cell.runs):
        return
    cell.runs.append(run)
    if cell.enters:
        otel_context.attach(beneath(run.context))


def restore(outer: Context) -> None:
    """Put the caller's context back, by value: safe in whatever task or context this is."""
    if otel_context.get_current() is not outer:
        otel_context.attach(outer)
