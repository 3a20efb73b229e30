"""Judge what a cell left: each span's session, its place in its run, and what is missing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from lucidic.testing import session_id_of

from .jobs import OUTSIDE, Mark, find_mark


Path = tuple[str, ...]
"""The names from a run's first span down to a span."""


@dataclass
class Verdict:
    """What a cell left, counted; all but ``spans`` and ``correct`` must be zero."""

    spans: int = 0
    correct: int = 0
    wrong: int = 0
    none: int = 0
    unmarked: int = 0
    missing: int = 0
    unended: int = 0
    dangling: int = 0
    misplaced: int = 0
    extra_traces: int = 0
    leaks: int = 0
    left_behind: int = 0
    errors: list[str] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)

    @property
    def broken(self) -> int:
        """Spans whose parent is wrong or missing."""
        return self.dangling + self.misplaced

    @property
    def faults(self) -> dict[str, object]:
        """What is not as it must be, by name."""
        found: dict[str, object] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name not in ("spans", "correct") and value:
                found[item.name] = value
        if self.spans == 0:
            found["spans"] = 0
        return found

    def __str__(self) -> str:
        ratio = f"{100 * self.correct / self.spans:.1f} % of {self.spans}" if self.spans else "no spans"
        rest = ", ".join(f"{name}: {_short(value)}" for name, value in self.faults.items())
        return f"{ratio}{'; ' + rest if rest else ''}"


def _short(value: object) -> str:
    if isinstance(value, list):
        return f"{len(value)} ({value[0][:200]})"
    return str(value)


class Forest:
    """The finished spans of a cell as trees; a trace that split off hangs on its link."""

    def __init__(self, spans: Sequence[ReadableSpan], *, host: str = "") -> None:
        self._host = host
        self.spans = [span for span in spans if span.context is not None]
        self._by_id = {_key(span.context): span for span in self.spans}
        self._children: dict[tuple[int, int], list[ReadableSpan]] = defaultdict(list)
        for span in self.spans:
            if (parent := self.parent(span)) is not None:
                self._children[_key(parent.context)].append(span)

    def parent(self, span: ReadableSpan) -> ReadableSpan | None:
        """Return the span above, also across the link of a split trace."""
        if span.parent is not None:
            return self._by_id.get(_key(span.parent))
        for link in span.links:
            if (link.attributes or {}).get("lucidic.link") == "left_session":
                return self._by_id.get(_key(link.context))
        return None

    def dangles(self, span: ReadableSpan) -> bool:
        """Tell whether the span names a parent that was never exported."""
        return span.parent is not None and _key(span.parent) not in self._by_id

    @cached_property
    def marks(self) -> dict[int, Mark | None]:
        """The run of each span: its own mark, else that of its descendants, else of its ancestors."""
        own = {id(span): _own_mark(span) for span in self.spans}
        found = dict(own)
        for span in self.spans:
            if own[id(span)] is None:
                found[id(span)] = self._mark_below(span, own)
        for span in self.spans:
            if found[id(span)] is None:
                found[id(span)] = self._mark_above(span, found)
        return found

    def _mark_below(self, span: ReadableSpan, own: Mapping[int, Mark | None]) -> Mark | None:
        level = [span]
        while level:
            level = [child for above in level for child in self._children[_key(above.context)]]
            marked = [mark for child in level if (mark := own[id(child)]) is not None]
            if marked:
                return marked[0]
        return None

    def _mark_above(self, span: ReadableSpan, found: Mapping[int, Mark | None]) -> Mark | None:
        step = self.parent(span)
        while step is not None:
            if (mark := found[id(step)]) is not None:
                return mark
            step = self.parent(step)
        return None

    def is_host(self, span: ReadableSpan) -> bool:
        """Tell whether the span is a server's, around the runs that it serves."""
        scope = span.instrumentation_scope
        return bool(self._host) and scope is not None and scope.name == self._host

    def path(self, span: ReadableSpan) -> Path:
        """Return the names down to the span, from where its run begins; a server's spans are passed over."""
        mark = self.marks[id(span)]
        names = [_plain_name(span)]
        step = self.parent(span)
        while step is not None and self.marks[id(step)] == mark:
            if not self.is_host(step):
                names.append(_plain_name(step))
            step = self.parent(step)
        return tuple(reversed(names))

    def first_above(self, span: ReadableSpan) -> ReadableSpan | None:
        """Return the span on which the run of ``span`` hangs, if any."""
        mark = self.marks[id(span)]
        step: ReadableSpan | None = span
        while step is not None and self.marks[id(step)] == mark:
            step = self.parent(step)
        return step


def _key(context: SpanContext) -> tuple[int, int]:
    return context.trace_id, context.span_id


def _plain_name(span: ReadableSpan) -> str:
    mark = find_mark(span.name)
    return span.name if mark is None else span.name.replace(str(mark), "<mark>")


def _own_mark(span: ReadableSpan) -> Mark | None:
    mark = find_mark(span.name)
    if mark is not None:
        return mark
    for value in (span.attributes or {}).values():
        if isinstance(value, str) and (mark := find_mark(value)) is not None:
            return mark
    return None


def shapes(spans: Sequence[ReadableSpan]) -> dict[Mark, Counter[Path]]:
    """Return each run's paths, counted."""
    forest = Forest(spans)
    found: dict[Mark, Counter[Path]] = defaultdict(Counter)
    for span in forest.spans:
        mark = forest.marks[id(span)]
        if mark is not None:
            found[mark][forest.path(span)] += 1
    return found


@dataclass(frozen=True)
class Run:
    """A run that a cell made: how, and whether it came to its end."""

    shape: Counter[Path]
    complete: bool
    guest: bool = False
    """It hangs on another run, by a link: work of an inner session."""


def judge(
    started: Iterable[ReadableSpan],
    spans: Sequence[ReadableSpan],
    runs: Mapping[Mark, Run],
    *,
    host: str = "",
) -> Verdict:
    """Judge a cell.

    Args:
        started: The spans that were started.
        spans: The spans that ended.
        runs: The runs that the cell made, by mark.
        host: Instrumentation scope of the server's spans around the runs: they need a session, and no place.

    """
    forest = Forest(spans, host=host)
    verdict = Verdict(spans=len(forest.spans))
    verdict.unended = len({_key(s.context) for s in started if s.context} - {_key(s.context) for s in spans})
    traces: dict[Mark, set[int]] = defaultdict(set)
    seen: Counter[Mark] = Counter()
    for span in forest.spans:
        mark = forest.marks[id(span)]
        if mark is None:
            verdict.unmarked += 1
            continue
        traces[mark].add(span.context.trace_id)
        _count_session(verdict, mark, session_id_of(span))
        verdict.dangling += forest.dangles(span)
        run = runs.get(mark)
        known = run is not None and forest.path(span) in run.shape
        hangs = forest.first_above(span) is not None
        if not forest.is_host(span):
            seen[mark] += 1
            verdict.misplaced += not known or hangs != (run is not None and run.guest)
    whole = (ids for mark, ids in traces.items() if not (mark in runs and runs[mark].guest))
    verdict.extra_traces = sum(len(ids) - 1 for ids in whole)
    for mark, run in runs.items():
        if run.complete:
            verdict.missing += max(0, run.shape.total() - seen[mark])
    return verdict


def _count_session(verdict: Verdict, mark: Mark, found: str | None) -> None:
    expected = None if mark.session_id == OUTSIDE else mark.session_id
    if found == expected:
        verdict.correct += 1
    elif expected is None:
        verdict.leaks += 1
    elif found is None:
        verdict.none += 1
    else:
        verdict.wrong += 1
