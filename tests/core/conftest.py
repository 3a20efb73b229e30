"""What the tests of the core share."""

from __future__ import annotations

import pytest

import lucidic as lai
from lucidic import _binding, _suspended


@pytest.fixture
def nothing_stays_bound(captured):
    """Whatever a test does: nothing stays bound, and no block is remembered."""
    yield
    assert _binding.top() is None
    assert lai.current_session_id() is None
    assert {} == _suspended.held
