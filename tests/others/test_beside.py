"""Other tracers in the same process: each keeps what it sees, and ours is what it is alone."""

from __future__ import annotations

import pytest


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("other", ["openinference", "openllmetry", "logfire", "langfuse"])
def test_beside_another_tracer_every_span_of_ours_is_made_once(run_among_others, other):
    """One trace, one session on every span, the tokens once, no word of trouble; the other's provider stays."""
    seen = run_among_others("beside.py", other, "them first")

    assert 18 == len(seen["ours"])
    assert 1 == seen["traces"]
    assert ["user_0001_conv_0001"] == seen["sessions"]
    assert 577 == seen["tokens"]
    assert [] == seen["dangling"] == seen["twice"]
    assert not seen["replaced"]
    assert [] == [line for line in seen["logs"] if line.startswith("lucidic")]
    assert 18 == seen["they_see_us"]
    assert seen["theirs"]
