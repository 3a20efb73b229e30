"""Live listeners: finished spans of this process, as they end."""

from __future__ import annotations

import queue
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final, Protocol

from typing_extensions import Self

from lucidic._export._counter import Counter
from lucidic._export._decode import decode_resource, decode_span
from lucidic._export._payload import unpack_origin, unpack_span
from lucidic._records import StoredSpan


LISTENER_SPANS: Final = 4096
"""Spans that may wait for a slow listener; what comes on top is counted as missed."""
_TICK: Final = 0.02


class Ear(Protocol):
    """What is told of ended spans: as they were written, together with where they come from."""

    def offer(self, payload: bytes, origin: bytes) -> None: ...


class Listener:
    """An iterator, sync and async, of the spans that end from now on.

    ``close`` ends the iteration, also from another thread. A listener that is slower than the program misses
    spans, and counts them in ``missed``; it never slows the program.
    """

    def __init__(self, session_id: str | None, on_close: Callable[[Listener], None]) -> None:
        self.session_id = session_id
        self._missed = Counter()
        self._queue: queue.SimpleQueue[tuple[bytes, bytes]] = queue.SimpleQueue()
        self._on_close = on_close
        self._closed = False

    @property
    def missed(self) -> int:
        """Spans that came while too many were waiting."""
        return self._missed.value

    def offer(self, payload: bytes, origin: bytes) -> None:
        """Hand over an ended span; for the exporter."""
        if self._queue.qsize() >= LISTENER_SPANS:
            self._missed.add()
        else:
            self._queue.put((payload, origin))

    def get(self, timeout: float | None = None) -> StoredSpan | None:
        """Return the next span, or None after ``timeout`` seconds or when the listener is closed."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _TICK if until is None else max(0.0, min(_TICK, until - time.monotonic()))
            try:
                payload, origin = self._queue.get(timeout=left) if left else self._queue.get_nowait()
            except queue.Empty:
                if self._closed or (until is not None and time.monotonic() >= until):
                    return None
                continue
            span = self._decode(payload, origin)
            if span is not None:
                return span

    def _decode(self, payload: bytes, origin: bytes) -> StoredSpan | None:
        entry = unpack_span(payload)
        if self.session_id is not None and entry.session_id != self.session_id:
            return None
        source = unpack_origin(origin)
        resource = decode_resource(source.resource)
        return decode_span(entry.data, session_id=entry.session_id, scope=source.scope, resource=resource)

    def __iter__(self) -> Iterator[StoredSpan]:
        while (span := self.get()) is not None:
            yield span

    async def __aiter__(self) -> AsyncIterator[StoredSpan]:
        import asyncio

        # Looked at now and then: waking an event loop from ``on_end`` would take its locks.
        while True:
            span = self.get(0)
            if span is not None:
                yield span
            elif self._closed:
                return
            else:
                await asyncio.sleep(_TICK)

    def close(self) -> None:
        """End the iteration; what is waiting is still given out."""
        self._closed = True
        self._on_close(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
