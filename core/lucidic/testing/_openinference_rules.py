"""The register of the validator's rules, and the words of OpenInference that several of them need."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from openinference.semconv.trace import OpenInferenceSpanKindValues, SpanAttributes

from lucidic.testing._openinference_spans import Seen, Trace


Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One finding of the validator."""

    rule: str
    """The rule's id, for instance ``K1``."""
    severity: Severity
    """``error``: breaks the specification; ``warning``: backends lose something; ``info``: style."""
    message: str
    trace_id: str
    span_id: str
    span_name: str

    def __str__(self) -> str:
        return f"{self.severity} {self.rule}: {self.message} [span {self.span_name!r} {self.span_id}]"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule yields: a span, what is wrong with it, and a severity that differs from the rule's."""

    span: Seen
    message: str
    severity: Severity | None = None


Check: TypeAlias = Callable[[Trace], Iterator[Finding]]
SpanCheck: TypeAlias = Callable[[Seen], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: its id, its severity, what it wants, and the function that looks for what it does not want."""

    id: str
    severity: Severity
    wants: str
    check: Check
    session: bool = False
    """Whether it is about spans of sessions only."""


RULES: Final[dict[str, Rule]] = {}


def trace_rule(id: str, severity: Severity, wants: str, *, session: bool = False) -> Callable[[Check], Check]:
    """Register a rule that looks at a whole trace."""

    def register(check: Check) -> Check:
        RULES[id] = Rule(id, severity, wants, check, session)
        return check

    return register


def span_rule(
    id: str, severity: Severity, wants: str, *, kinds: tuple[str, ...] = ()
) -> Callable[[SpanCheck], SpanCheck]:
    """Register a rule that looks at one span after the other, or only at spans of some kinds."""

    def register(check: SpanCheck) -> SpanCheck:
        def check_all(trace: Trace) -> Iterator[Finding]:
            for span in trace.spans:
                if not kinds or span.kind in kinds:
                    yield from (Finding(span, message) for message in check(span))

        RULES[id] = Rule(id, severity, wants, check_all)
        return check

    return register


KINDS: Final = frozenset(kind.value for kind in OpenInferenceSpanKindValues)
ROLES: Final = frozenset(
    {"system", "developer", "user", "assistant", "tool", "function", "agent", "model", "human", "ai"}
)
MESSAGES: Final = (SpanAttributes.LLM_INPUT_MESSAGES, SpanAttributes.LLM_OUTPUT_MESSAGES)
ANNOTATIONS: Final = tuple(
    (scope + name, item)
    for scope in ("", "trace.", "session.")
    for name, item in (("annotations", "annotation"), ("evaluations", "evaluation"))
)
LISTS: Final = (
    *MESSAGES,
    SpanAttributes.LLM_TOOLS,
    SpanAttributes.LLM_PROMPTS,
    SpanAttributes.LLM_CHOICES,
    "retrieval.documents",
    "reranker.input_documents",
    "reranker.output_documents",
    SpanAttributes.EMBEDDING_EMBEDDINGS,
    "input.images",
    "output.images",
    "input.documents",
    "output.documents",
    *(prefix for prefix, _ in ANNOTATIONS),
)
NO_JSON: Final = object()


def parsed(text: object) -> Any:
    """Return what a JSON text holds, or ``NO_JSON``."""
    if not isinstance(text, str):
        return NO_JSON
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return NO_JSON


def among(value: object, known: Collection[str]) -> bool:
    """Say whether a value is one of some strings; it may be of any type, hashable or not."""
    return isinstance(value, str) and value in known


def short(value: object) -> str:
    """Return a value's ``repr`` for a message, at most 80 characters."""
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:79] + "…"


def _refuse(constant: str) -> object:
    raise ValueError(constant)
