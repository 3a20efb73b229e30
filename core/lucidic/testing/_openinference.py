"""Check spans against OpenInference and against what backends need."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from lucidic.testing import (  # noqa: F401 - importing them registers their rules
    _openinference_kinds,
    _openinference_llm,
    _openinference_traces,
    _openinference_values,
)
from lucidic.testing._openinference_rules import RULES, Severity, Violation
from lucidic.testing._openinference_spans import AnySpan, seen, traces


_ORDER: Final[tuple[Severity, ...]] = ("error", "warning", "info")


def validate_openinference(spans: Iterable[AnySpan], *, sessions: bool = True) -> list[Violation]:
    """Return what is wrong with some spans, the gravest first.

    The rules are those of OpenInference's specification (``spec/*.md``, semantic conventions 0.1.42), of
    OTLP's types, and of what Phoenix 20, MLflow 3.17 and Langfuse are known to need. Give all spans of a
    trace: several rules look at the whole of it.

    Args:
        spans: OpenTelemetry ``ReadableSpan`` objects, spans of the local store, or mappings in the form that
            ``lucidic show --json`` prints.
        sessions: Whether the rules about sessions (``S0`` to ``S8``) apply; default true.

    Raises:
        TypeError: A span is in none of these forms.
    """
    found = [
        Violation(
            rule=rule.id,
            severity=finding.severity or rule.severity,
            message=finding.message,
            trace_id=finding.span.trace_id,
            span_id=finding.span.span_id,
            span_name=finding.span.name,
        )
        for trace in traces(seen(span) for span in spans)
        for rule in RULES.values()
        if sessions or not rule.session
        for finding in rule.check(trace)
    ]
    return sorted(found, key=lambda violation: _ORDER.index(violation.severity))


def assert_openinference(
    spans: Iterable[AnySpan],
    *,
    level: Severity = "error",
    ignore: Collection[str] = (),
    sessions: bool = True,
) -> None:
    """Raise ``AssertionError`` with a readable list when spans violate rules.

    Args:
        spans: As for ``validate_openinference``.
        level: The mildest severity that counts: ``error`` (the default), ``warning`` or ``info``.
        ignore: Ids of rules that do not count.
        sessions: Whether the rules about sessions apply; default true.

    Raises:
        AssertionError: A rule is violated.
        TypeError: A span is in none of the known forms.
        ValueError: ``level`` is none of the three.
    """
    if level not in _ORDER:
        raise ValueError(f"level is {level!r}; it is one of {', '.join(_ORDER)}")
    counting = _ORDER[: _ORDER.index(level) + 1]
    found = [
        violation
        for violation in validate_openinference(spans, sessions=sessions)
        if violation.severity in counting and violation.rule not in ignore
    ]
    if found:
        raise AssertionError(f"{len(found)} violations of OpenInference:\n{_listed(found)}")


def _listed(violations: list[Violation]) -> str:
    by_rule: dict[str, list[Violation]] = {}
    for violation in violations:
        by_rule.setdefault(violation.rule, []).append(violation)
    return "\n".join(
        "\n  - ".join([f"{rule}: {RULES[rule].wants}", *(str(violation) for violation in found)])
        for rule, found in by_rule.items()
    )
