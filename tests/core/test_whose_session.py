"""The precedence table as a pure function: properties that hold for all evidence."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from lucidic._spans._correlation import Evidence, FrameworkID, framework_ids, whose_session


IDS = st.sampled_from(["a", "b", "c", "d"])
MAYBE = st.none() | IDS
FRAMEWORK = st.lists(
    st.builds(FrameworkID, IDS, st.sampled_from(["fw.session_id", "fw.thread_id"])), max_size=3
)
EVIDENCE = st.builds(
    Evidence,
    handler_id=MAYBE,
    bound_id=MAYBE,
    bound_inside_parent=st.booleans(),
    cleared=st.booleans(),
    parent_id=MAYBE,
    framework=FRAMEWORK.map(tuple),
    init_ids=st.lists(IDS, max_size=3, unique=True).map(tuple),
    session_from=st.sampled_from(["block", "framework"]),
)


@given(EVIDENCE)
def test_an_answer_is_always_one_of_the_ids_that_were_given(evidence):
    """No id is ever made up."""
    ids = {evidence.handler_id, evidence.bound_id, evidence.parent_id, *evidence.init_ids}
    ids |= {found.value for found in evidence.framework}

    assert whose_session(evidence).session_id in ids | {None}


@given(EVIDENCE)
def test_the_answer_is_a_function_of_the_evidence(evidence):
    """The same evidence gives the same answer."""
    assert whose_session(evidence) == whose_session(replace(evidence))


@given(EVIDENCE, IDS)
def test_the_handlers_own_id_outranks_everything(evidence, session_id):
    """Rule 1."""
    decision = whose_session(replace(evidence, handler_id=session_id))

    assert (session_id, "handler") == (decision.session_id, decision.source)


@given(EVIDENCE, IDS)
def test_the_innermost_block_outranks_the_parent(evidence, session_id):
    """Rule 2: a block entered inside the parent wins over the parent and over the framework."""
    evidence = replace(
        evidence, handler_id=None, bound_id=session_id, bound_inside_parent=True, session_from="block"
    )

    assert session_id == whose_session(evidence).session_id


@given(EVIDENCE, IDS)
def test_the_parent_outranks_a_block_from_outside(evidence, session_id):
    """Rule 3: a stream that outlives its block stays in its parent's session."""
    evidence = replace(evidence, handler_id=None, parent_id=session_id, bound_inside_parent=False)

    assert session_id == whose_session(evidence).session_id


@given(EVIDENCE, IDS)
def test_the_frameworks_id_names_a_root_only(evidence, session_id):
    """Rule 4: with no handler, block or parent the strongest framework id counts; below a parent none does."""
    first = FrameworkID(session_id, "fw.first")
    root = replace(
        evidence, handler_id=None, bound_id=None, parent_id=None, framework=(first, *evidence.framework)
    )

    assert (session_id, first) == (whose_session(root).session_id, whose_session(root).framework)
    assert "framework" != whose_session(replace(root, parent_id="x")).source


@given(EVIDENCE)
def test_framework_first_turns_rules_2_and_4_round(evidence):
    """With session_from="framework" a root's framework id outranks a block."""
    evidence = replace(evidence, handler_id=None, parent_id=None, bound_id="block", session_from="framework")
    expected = evidence.framework[0].value if evidence.framework else "block"

    assert expected == whose_session(evidence).session_id


@given(EVIDENCE)
def test_the_global_fallback_never_guesses(evidence):
    """Rule 5 and 6: one open init session counts where nothing else does; two, or a clear, give none."""
    evidence = replace(evidence, handler_id=None, bound_id=None, parent_id=None, framework=())
    decision = whose_session(evidence)

    if len(evidence.init_ids) == 1 and not evidence.cleared:
        assert evidence.init_ids[0] == decision.session_id
    else:
        assert decision.session_id is None


@given(EVIDENCE)
def test_a_framework_id_that_did_not_win_is_kept(evidence):
    """Ids that did not become the session are kept for an attribute of their own."""
    decision = whose_session(evidence)

    assert {found for found in evidence.framework if found.value != decision.session_id} == set(
        decision.unused
    )


@given(
    st.dictionaries(
        st.sampled_from(["session_id", "conversation_id", "thread_id", "other"]),
        st.one_of(
            st.text(max_size=3), st.integers(), st.none(), st.booleans(), st.lists(st.integers(), max_size=1)
        ),
    )
)
def test_metadata_ids_are_text_in_order_of_precedence(metadata):
    """Only text, ints and UUIDs are ids; they come as text, the strongest key first."""
    found = framework_ids(metadata, "fw")
    order = [f"fw.{key}" for key in ("session_id", "conversation_id", "thread_id")]

    assert [item.source for item in found] == [
        source for source in order if source in {item.source for item in found}
    ]
    assert all(isinstance(item.value, str) and item.value.strip() for item in found)
