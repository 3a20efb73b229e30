from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lucidic._export import Exporter, ExportOptions


sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def exporter(tmp_path):
    """An exporter on a folder of its own; at the end its books must balance."""
    made = Exporter(tmp_path, options=ExportOptions(fsync_window=0))
    yield made
    made.shutdown(5)
    assert 0 == made.health().unexplained
    made.store.close()
