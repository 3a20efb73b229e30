from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from lucidic._export import Exporter, ExportOptions
from lucidic._export import _segment as segment_module


sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def exporter(tmp_path):
    """An exporter on a folder of its own; at the end its books must balance."""
    made = Exporter(tmp_path, options=ExportOptions(fsync_window=0))
    yield made
    made.shutdown(5)
    assert 0 == made.health().unexplained
    made.store.close()


@pytest.fixture
def disk(monkeypatch):
    """A disk that takes nothing while it has an ``error``."""
    real = os.write

    class Disk:
        error: int | None = None

        def write(self, fd, data):
            if self.error is not None:
                raise OSError(self.error, os.strerror(self.error))
            return real(fd, data)

    found = Disk()
    monkeypatch.setattr(segment_module.os, "write", found.write)
    return found
