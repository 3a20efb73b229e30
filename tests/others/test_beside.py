"""Other tracers in the same process: each keeps what it sees, and ours is what it is alone."""

from __future__ import annotations

from collections import Counter

import pytest


ADVISER = "lamp_advice/advise/invoke_agent adviser"
TOOL = f"{ADVISER}/execute_tool ask_the_workshop"
RUN = f"{TOOL}/Agent workflow/run Agent workflow"
AGENT = "workshop"
INNER = f"{RUN}/{AGENT}"
CHAIN = f"{INNER}/turn 1/read_the_manual/manual"
TREE = sorted([
    "lamp_advice", "lamp_advice/advise", ADVISER, f"{ADVISER}/chat m", f"{ADVISER}/chat m", TOOL,
    f"{TOOL}/Agent workflow", RUN, INNER,
    f"{INNER}/turn 1", f"{INNER}/turn 1/generation", f"{INNER}/turn 1/read_the_manual",
    f"{INNER}/turn 2", f"{INNER}/turn 2/generation",
    CHAIN, f"{CHAIN}/ChatOpenAI", f"{CHAIN}/ChatPromptTemplate", f"{CHAIN}/StrOutputParser",
])  # fmt: skip
"""Our spans of the work, as they are without another tracer: each by the names from the root down."""
CLIENTS = {"ChatCompletion", "openai.chat", "Chat Completion with {request_data[model]!r}"}
"""Spans of the model's client, which only they trace here."""


def by_name(counted):
    names = Counter()
    for path, count in counted:
        names[path.rpartition("/")[2]] += count
    return names


def is_as_without_them(seen, *around):
    assert TREE == seen["ours"]
    assert 1 == seen["traces"]
    assert ["user_0001_conv_0001"] == seen["sessions"]
    assert (577, 481) == (seen["tokens"], seen["prompt_tokens"])
    assert {*around} == {*seen["kept"]} - CLIENTS
    assert [] == seen["dangling"] == seen["twice"]
    assert [] == [line for line in seen["logs"] if line.startswith("lucidic")]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "other", ["openinference", "openllmetry", "logfire", "langfuse", "langsmith", "langsmith spans"]
)
def test_beside_another_tracer_both_see_what_they_see_alone(run_among_others, other):
    """Switched on before us or after, it exports what it does without us; ours is one right tree, counted once."""
    before = run_among_others("beside.py", other, "them first")
    alone = before["alone"]

    # Where only we trace PydanticAI, what OpenLLMetry sees inside hangs below our span of it.
    same = by_name if other == "openllmetry" else sorted
    assert alone
    assert same(alone) == same(before["theirs"])
    is_as_without_them(before, "request")
    assert ["my password is hunter2"] == before["note"]
    if other != "langsmith":  # which has no spans
        assert 18 == before["they_see_us"]
        assert not before["replaced"]
    if other == "logfire":
        assert ["[Scrubbed due to 'password']"] == before["their_note"]
    if other.startswith("langsmith"):
        return  # the environment switches it on, and it looks there once

    after = run_among_others("beside.py", other, "us first", "root")

    alone = [[path.removeprefix("request/"), count] for path, count in alone if path != "request"]
    # The handler that a program registers after ours is told of a root after us, and has a trace of its own.
    same = by_name if other == "langfuse" else same
    assert same(alone) == same(after["theirs"])
    is_as_without_them(after)
    assert 18 == after["they_see_us"]
