"""What is left to the garbage collector: each object that waits for it makes it run more often, for everybody."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


_OURS = ("lucidic", "opentelemetry")


@contextlib.contextmanager
def left_to_the_collector(*modules: str) -> Iterator[list[object]]:
    """Give a list that holds, after the block, what only the collector can free.

    Args:
        *modules: Beginnings of the names of modules whose objects count, besides ours and OpenTelemetry's.

    """
    left: list[object] = []
    gc.collect()
    gc.disable()
    try:
        yield left
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left += [found for found in gc.garbage if type(found).__module__.startswith((*_OURS, *modules))]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
