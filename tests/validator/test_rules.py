"""Each rule of the validator finds what it is about, and only that."""

from __future__ import annotations

import pytest

from lucidic.testing import assert_openinference, validate_openinference
from lucidic.testing._openinference_rules import RULES

from . import cases
from .conformant_trace import conformant


def _changed(name, changes):
    spans = conformant()
    for span in spans.values() if name == "*" else [spans[name]]:
        for key, value in changes.items():
            if key.startswith("@"):
                span[key[1:]] = value
            elif value is None:
                span["attributes"].pop(key, None)
            else:
                span["attributes"][key] = value
    return list(spans.values())


def test_the_conformant_trace_violates_nothing():
    """The trace that the cases start from is clean, so that each case shows its own rule alone."""
    assert [] == validate_openinference(conformant().values())


@pytest.mark.parametrize(("rule", "span", "changes"), cases.BREAKING)
def test_a_violation_is_found_and_nothing_else(rule, span, changes):
    """A trace that breaks one rule is reported under this rule only, at the rule's severity."""
    found = validate_openinference(_changed(span, changes))

    assert {(rule, RULES[rule].severity)} == {(violation.rule, violation.severity) for violation in found}


@pytest.mark.parametrize(("rule", "span", "changes"), cases.PASSING)
def test_what_looks_close_to_a_violation_passes(rule, span, changes):
    """A trace on the right side of a rule's border is clean."""
    assert [] == validate_openinference(_changed(span, changes))


@pytest.mark.parametrize("table", [cases.BREAKING, cases.PASSING], ids=["breaking", "passing"])
def test_every_rule_has_a_case(table):
    """There are 63 rules, and each has a case on either side."""
    assert 63 == len(RULES)
    assert set(RULES) == {rule for rule, _, _ in table}


@pytest.mark.parametrize("given", [" s-1", "s" * 201, "sé", "a/b"])
def test_ids_that_some_backends_refuse_are_warnings(given):
    """An id is kept as it is given, so what only a backend cannot take is a warning."""
    ids = dict.fromkeys(("session.id", "gen_ai.conversation.id", "lucidic.session_id"), given)
    found = validate_openinference(_changed("*", ids))

    assert [("S3", "warning")] == [(violation.rule, violation.severity) for violation in found]


def test_session_rules_can_be_left_out():
    """Without the session profile, a trace without any session is clean."""
    spans = _changed("*", {"session.id": None, "session.evaluations.0.evaluation.name": None})
    spans = [span for span in spans if span["name"] != "evaluator"]

    assert ["S0"] == [violation.rule for violation in validate_openinference(spans)]
    assert [] == validate_openinference(spans, sessions=False)


def test_a_trace_without_a_root_is_reported():
    """A trace of which every span names a parent has no root."""
    found = validate_openinference(_changed("agent", {"@parent_span_id": f"{2:016x}"}))

    assert "S5" in {violation.rule for violation in found}


def test_a_remote_parent_makes_a_local_root():
    """A root whose parent is in another process is a root, and its input and output are wanted."""
    remote = {"@parent_span_id": cases.NOBODY, "@remote_parent": True}

    assert [] == validate_openinference(_changed("agent", remote))
    found = validate_openinference(_changed("agent", {**remote, "output.value": None}))
    assert ["S6"] == [violation.rule for violation in found]


def test_errors_come_first():
    """The list begins with what breaks the specification."""
    found = validate_openinference(
        [
            *_changed("chain", {"output.value": '{"a": 1}', "openinference.span.kind": "UNKNOWN"}),
            {"trace_id": "2", "span_id": "1", "name": "bare"},
        ]
    )

    severities = [violation.severity for violation in found]
    assert sorted(severities, key=["error", "warning", "info"].index) == severities
    assert {"error", "warning", "info"} == set(severities)


def test_the_assertion_lists_rules_spans_and_reasons():
    """A failed assertion names the rule, what it wants, the span, and what is wrong with it."""
    with pytest.raises(AssertionError) as caught:
        assert_openinference(_changed("llm", {"llm.system": None, "llm.token_count.total": 16}))

    text = str(caught.value)
    assert "2 violations of OpenInference" in text
    assert "L1: LLM spans have llm.system" in text
    assert "llm.system is missing [span 'llm' 0000000000000002]" in text
    assert "llm.token_count.total is 16, prompt and completion make 15" in text


def test_the_assertion_counts_what_it_is_told_to_count():
    """Warnings and info count from the level that is asked for; ignored rules never do."""
    spans = _changed("agent", {"agent.name": None})

    assert_openinference(spans)
    assert_openinference(spans, level="warning", ignore=["O5"])
    with pytest.raises(AssertionError, match="O5"):
        assert_openinference(spans, level="warning")
    with pytest.raises(ValueError, match="level is 'fatal'"):
        assert_openinference(spans, level="fatal")


@pytest.mark.parametrize(
    "value", [None, True, -1, float("nan"), "", "[[", b"\xff", [[]], [None, 1], {"a": 1}], ids=repr
)
def test_no_value_makes_the_validator_raise(value):
    """Whatever stands in an attribute, the validator answers with a list of readable lines."""
    for name, span in conformant().items():
        for key in span["attributes"]:
            spans = conformant()
            spans[name]["attributes"][key] = value
            assert all(str(violation) for violation in validate_openinference(spans.values()))
