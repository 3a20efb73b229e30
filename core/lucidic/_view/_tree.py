"""Arrange finished spans as turns and trees, and fold what says nothing."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from lucidic._records import SessionState, StoredSpan
from lucidic._score_span import SCOPE
from lucidic._view._content import Failure, Tokens, failure, kind, tokens
from lucidic._view._speech import answer_words, asked, user_words


_MAX_DEPTH: Final = 60
_NAMELESS: Final = re.compile(
    r"LangGraph|model|tools|agent|call_model|prompt|Runnable.*|turn \d+|(run )?Agent workflow"
)
"""What LangChain, LangGraph and the Agents SDK call their own steps: such a name says nothing beside the content."""

_WORDLESS: Final = {"TOOL", "RETRIEVER", "RERANKER", "EMBEDDING"}
_ROOTLESS: Final[dict[SessionState, str]] = {
    "active": "running, or begun elsewhere",
    "finished": "begun elsewhere",
    "died": "its process died, or begun elsewhere",
}


@dataclass(slots=True)
class Node:
    """One span with the spans below it, in the order in which they started."""

    span: StoredSpan
    children: list[Node] = field(default_factory=list)

    def walk(self) -> Iterator[Node]:
        """Yield this node and every one below it, each parent before its children."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the folded tree."""

    node: Node
    children: tuple[Row, ...] = ()
    via: tuple[str, ...] = ()
    """The folded steps that led here."""
    steps: tuple[str, ...] = ()
    """The folded steps below that had nothing inside."""

    @property
    def span(self) -> StoredSpan:
        """Return the span of this row."""
        return self.node.span


@dataclass(slots=True)
class Turn:
    """One trace of a session: what the user said, what was answered, and how it came about."""

    number: int
    trace_id: str
    spans: Sequence[StoredSpan]
    top: list[Node]

    @property
    def root(self) -> StoredSpan | None:
        """Return the root span, or None while it runs, if it was killed, or if another process has it."""
        return next((node.span for node in self.top if not node.span.parent_span_id), None)

    @property
    def speaker(self) -> StoredSpan | None:
        """Return the span that speaks for the turn: the root, or the agent whose caller is in another process."""
        agents = (node.span for node in reversed(self.top) if kind(node.span) == "AGENT")
        return self.root or next(agents, None)

    @property
    def start_ns(self) -> int:
        """Return when the first span started."""
        return min(span.start_ns for span in self._own)

    @property
    def end_ns(self) -> int:
        """Return when the last span ended; a score that somebody gave later prolongs nothing."""
        return max(span.end_ns for span in self._own)

    @property
    def _own(self) -> Sequence[StoredSpan]:
        return [span for span in self.spans if span.scope_name != SCOPE] or self.spans

    @property
    def tokens(self) -> Tokens:
        """Return the sum over the model calls."""
        return sum((tokens(span) for span in self.spans), Tokens())

    @property
    def errors(self) -> int:
        """Return how many spans failed."""
        return sum(span.status == "ERROR" for span in self.spans)

    @property
    def user(self) -> str:
        """Return the user's words: the topmost input, or what the first model call was asked."""
        by_top = next(filter(None, (user_words(span) for span in self._from_the_top())), "")
        by_model = (asked(span) for span in self.spans if kind(span) == "LLM")
        return by_top if self.speaker is not None and by_top else next(filter(None, by_model), by_top)

    @property
    def answer(self) -> str:
        """Return the answer's words: the topmost output, and nothing while nobody speaks for the turn."""
        if self.speaker is None or self.failure is not None:
            return ""
        return next(filter(None, (answer_words(span) for span in self._from_the_top())), "")

    @property
    def failure(self) -> Failure | None:
        """Return why the turn failed, if the span that speaks for it did."""
        return failure(self.speaker) if self.speaker is not None else None

    def _from_the_top(self) -> Iterator[StoredSpan]:
        """Yield the spans that may hold a user's words; a tool's arguments are a model's."""
        level = self.top
        while level:
            yield from (node.span for node in level if kind(node.span) not in _WORDLESS)
            level = [child for node in level for child in node.children]


def turns(spans: Iterable[StoredSpan]) -> list[Turn]:
    """Return the traces of ``spans`` as turns, the oldest first; a score of the whole session is no turn."""
    traces: dict[str, dict[str, StoredSpan]] = defaultdict(dict)
    for span in spans:
        traces[span.trace_id][span.span_id] = span
    groups = [
        sorted(trace.values(), key=lambda span: (span.start_ns, span.span_id))
        for trace in traces.values()
        if any(span.scope_name != SCOPE for span in trace.values())
    ]
    groups.sort(key=lambda group: (group[0].start_ns, group[0].trace_id))
    return [Turn(number, group[0].trace_id, group, forest(group)) for number, group in enumerate(groups, 1)]


def forest(spans: Sequence[StoredSpan]) -> list[Node]:
    """Return the trees of one trace; a span whose parent is not there stands at the top."""
    nodes = {span.span_id: Node(span) for span in spans}
    top: list[Node] = []
    for span in spans:
        parent = nodes.get(span.parent_span_id or "")
        (top if parent is None else parent.children).append(nodes[span.span_id])
    reached = {node.span.span_id for root in top for node in root.walk()}
    for span in spans:
        if span.span_id not in reached:
            # Only spans that name each other as parents are left: show them rather than lose them.
            nodes[span.span_id].children = []
            top.append(nodes[span.span_id])
    _flatten_the_deepest(top)
    return top


def _flatten_the_deepest(top: Sequence[Node]) -> None:
    """Put everything below the deepest level that anybody could read side by side on it.

    What walks the tree may then recurse: an agent that calls itself a thousand times is no stack overflow.
    """
    level: Sequence[Node] = top
    for _ in range(_MAX_DEPTH):
        level = [child for node in level for child in node.children]
    for node in level:
        below = [inner for child in node.children for inner in child.walk()]
        for inner in below:
            inner.children = []
        node.children = below


def fold(nodes: Sequence[Node]) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """Fold chains away: return the rows that say something, and the names of steps with nothing inside.

    A chain with one row inside becomes that row's ``via``; one with several keeps a row of its own
    when its name says something.
    """
    rows: list[Row] = []
    steps: list[str] = []
    for node in nodes:
        inner, inner_steps = fold(node.children)
        if not _is_plain_chain(node, inner):
            rows.append(Row(node, inner, steps=inner_steps))
        elif not inner:
            steps.append(node.span.name)
        elif len(inner) == 1:
            via = (*_name(node), *inner[0].via)
            rows.append(replace(inner[0], via=via))
            steps.extend(inner_steps)
        elif _name(node):
            rows.append(Row(node, inner, steps=inner_steps))
        else:
            rows.extend(inner)
            steps.extend(inner_steps)
    return tuple(rows), tuple(steps)


def unfolded(nodes: Sequence[Node]) -> tuple[Row, ...]:
    """Return a row for every span."""
    return tuple(Row(node, unfolded(node.children)) for node in nodes)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a drawn tree: a row, or the names of folded steps."""

    depth: int
    row: Row | None = None
    steps: tuple[str, ...] = ()


def flat(rows: Sequence[Row], steps: tuple[str, ...] = (), depth: int = 0) -> Iterator[Line]:
    """Yield the lines of a folded tree from top to bottom."""
    for row in rows:
        yield Line(depth, row)
        yield from flat(row.children, row.steps, depth + 1)
    if steps:
        yield Line(depth, steps=steps)


def why_rootless(state: SessionState) -> str:
    """Say what a turn without a root span is, as far as the state of its session tells."""
    return f"no root span ({_ROOTLESS[state]})"


def with_errors(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Return the rows that failed or lead to one that did."""
    kept = (replace(row, children=with_errors(row.children), steps=()) for row in rows)
    return tuple(row for row in kept if row.children or row.span.status == "ERROR")


def _is_plain_chain(node: Node, inner: Sequence[Row]) -> bool:
    failed_itself = node.span.status == "ERROR" and not any(row.span.status == "ERROR" for row in inner)
    return kind(node.span) == "CHAIN" and not failed_itself


def _name(node: Node) -> tuple[str, ...]:
    # The name of a root stands in the heading of its turn.
    is_plain = node.span.parent_span_id and not _NAMELESS.fullmatch(node.span.name)
    return (node.span.name,) if is_plain else ()
