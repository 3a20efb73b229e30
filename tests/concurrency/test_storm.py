"""A thousand mixed conversations at once, with cancellations, errors and early stops."""

from __future__ import annotations

import gc
from collections import Counter

import pytest
from tests.attribution.cells import Mode, play
from tests.attribution.impossible import LANGCHAIN_LOSES_ASYNC
from tests.attribution.ways import BIND, by_key
from tests.attribution.workloads_mixed import Mixed

from lucidic._bound import Binding
from lucidic._spans._live import LiveSpan
from lucidic._spans._state import SpanState

from .memory import storms
from .storm import Storm


pytestmark = pytest.mark.skipif(
    LANGCHAIN_LOSES_ASYNC, reason="LangChain passes its run to no async code before Python 3.11"
)


def _kept() -> Counter[str]:
    gc.collect()
    kinds = {Binding, LiveSpan, SpanState}  # by type: isinstance would wake lazy modules
    return Counter(type(found).__name__ for found in gc.get_objects() if type(found) in kinds)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_thousand_mixed_conversations_leave_every_span_in_its_place():
    """Every span of a thousand concurrent conversations ended, in its session, below its run; none is missing."""
    storm = Storm(seed=8)

    verdict = play(Mode("storm", storm), Mixed(), BIND, sessions=1000)

    assert {} == verdict.faults
    assert 1000 == sum(storm.ends.values())
    assert 6 == len(storm.ends)


@pytest.mark.parametrize("way", [BIND, by_key("metadata.session_id")], ids=lambda way: way.name)
def test_a_small_storm_leaves_every_span_in_its_place(way):
    """The same with thirty conversations, the session given by a block and by LangChain's metadata."""
    assert {} == play(Mode("storm", Storm(seed=7)), Mixed(), way, sessions=30).faults


def test_nothing_of_a_conversation_is_kept_after_it():
    """Memory is flat: after each storm no binding, no live span and no span state is left of it."""
    play(Mode("storm", Storm(seed=1)), Mixed(), BIND, sessions=5)
    before = _kept()
    for seed in (2, 3):
        play(Mode("storm", Storm(seed=seed)), Mixed(), BIND, sessions=20)

    assert before == _kept()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_later_storms_leave_no_more_memory_than_the_first():
    """Through the whole pipeline: three further storms leave as many memory blocks as the first, within a hundredth."""
    first, *later = storms(4, sessions=100)

    assert later[-1].spans > 3 * first.spans
    assert [] == [left for left in later if abs(left.blocks - first.blocks) > first.blocks / 100]
