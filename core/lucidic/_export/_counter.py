"""A counter that needs no lock to count."""

from __future__ import annotations

import itertools


class Counter:
    """Count from any thread, signal handler or finalizer; ``next`` of an ``itertools.count`` is one step in C."""

    __slots__ = ("_count", "_looks")

    def __init__(self) -> None:
        self._count = itertools.count()
        self._looks = itertools.count()

    def add(self) -> None:
        """Count one."""
        next(self._count)

    @property
    def value(self) -> int:
        """The number counted so far. Looking advances the count too, so the looks are subtracted."""
        return next(self._count) - next(self._looks)
