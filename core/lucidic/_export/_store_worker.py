"""Filling the local store."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from lucidic._export._backoff import Backoff
from lucidic._export._ledger import STORE
from lucidic._export._options import ExportOptions
from lucidic._export._store import Store
from lucidic._export._worker import Worker
from lucidic.errors import StoreError


logger = logging.getLogger("lucidic.export")


class StoreWorker(Worker):
    """Import the journal into the store as it grows.

    Any process may import; that one of them does it for all saves the others the work, until somebody waits.
    """

    def __init__(
        self, store: Store, spool: Path, options: ExportOptions, progress: Callable[[], None]
    ) -> None:
        self.store = store
        self.note = ""
        self._backoff = Backoff()
        super().__init__(STORE, spool, options, progress)

    def reached(self, targets: Mapping[str, int]) -> bool:
        """See Worker."""
        with contextlib.suppress(StoreError, OSError):
            positions = self.store.positions()
            return all(
                (name in positions and positions[name].offset >= size) or not (self._spool / name).exists()
                for name, size in targets.items()
            )
        return False

    @property
    def blocked(self) -> bool:
        """See Worker: a store that cannot be used is tried again, but nobody should wait for it."""
        return bool(self.note)

    def close(self) -> None:
        """See Worker: who reads later opens it again; nobody would close what a thread opens after a shutdown."""
        self.store.close()

    def _step(self) -> bool:
        if time.monotonic() < self._not_before:
            return False
        try:
            if not self._leader.held and not self._leader.acquire() and not self._hurried:
                return False
            more = self.store.import_once()
        except Exception as error:  # noqa: BLE001 - the thread must go on; the cursor is where it was
            self._complain(error)
            return False
        self.note = ""
        self._backoff.reset()
        return more

    def _complain(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        if not self.note:
            # A folder that cannot be used is the journal's to report, once for everybody.
            level = logging.WARNING if isinstance(error, StoreError) else logging.ERROR
            level = logging.INFO if isinstance(error, OSError) else level
            logger.log(level, "The local store cannot be filled for now; its spans are kept: %s", text)
        self.note = text
        self._not_before = time.monotonic() + self._backoff.delay()
