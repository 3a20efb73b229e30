"""From a finished span to a sink.

The journal holds every span the moment it ends; sinks take it from there, each at its own pace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lucidic._export._ledger import Health, SinkHealth
from lucidic._export._options import ExportOptions
from lucidic._export._sink import Sink


if TYPE_CHECKING:
    from lucidic._export._exporter import Exporter
    from lucidic._export._listeners import Listener
    from lucidic._export._store import Store


__all__ = ["ExportOptions", "Exporter", "Health", "Listener", "Sink", "SinkHealth", "Store"]

_LATE = {"Exporter": "_exporter", "Listener": "_listeners", "Store": "_store"}


def __getattr__(name: str) -> Any:
    # The store needs SQLAlchemy, which takes longer to import than all of lucidic.
    if name in _LATE:
        import importlib

        return getattr(importlib.import_module(f"lucidic._export.{_LATE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
