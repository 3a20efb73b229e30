"""A session's display in a notebook that follows the session until its cell has ended."""

from __future__ import annotations

import os
import queue
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

from lucidic import _cells
from lucidic._export._payload import unpack_span
from lucidic._guard import guarded
from lucidic._view._notebook import SessionView


_EVERY_S: Final = 0.5
"""Between two drawings at least; and never more than a fifth of the time is spent on drawing."""
_SHARE: Final = 4

_displays: dict[str, LiveDisplay] = {}
"""What the cell that runs has shown, by session."""
_hooked: set[int] = set()


def notebook() -> Any:
    """Return IPython's shell if its front end can update what was displayed, else None."""
    shell = _cells.shell()
    return shell if getattr(shell, "kernel", None) is not None else None


def show_live(session_id: str, read: Callable[[], SessionView], shell: Any, exporter: Any) -> SessionView:
    """Display a session now, and again as its spans end while the cell runs; a second time only brings it up to date.

    Args:
        session_id: The session.
        read: Reads what is known of it by now.
        shell: IPython's shell.
        exporter: Tells of the spans of this process.
    """
    if id(shell) not in _hooked:
        _hooked.add(id(shell))
        shell.events.register("post_run_cell", _end_cell)
    known = _displays.get(session_id)
    if known is None:
        known = _displays[session_id] = LiveDisplay(session_id, read, exporter)
        exporter.attach(known)
    return known.draw(whole=True)


def _end_cell(_result: object) -> None:
    """Draw the last state, and follow no longer."""
    ending = list(_displays.values())
    _displays.clear()
    for display in ending:
        with guarded("live display"):
            display.end()


class LiveDisplay:
    """One session below one cell. The first span that ends starts its thread; ``end`` stops it."""

    def __init__(self, session_id: str, read: Callable[[], SessionView], exporter: Any) -> None:
        self._session_id = session_id
        self._read = read
        self._exporter = exporter
        self._display_id = f"lucidic-{uuid.uuid4()}"
        self._news: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._unstarted = [
            threading.Thread(target=self._follow, name=f"lucidic-display-{session_id}", daemon=True)
        ]
        self._lock = threading.Lock()
        self._drawn: object = None
        self._ended = threading.Event()
        self._process = os.getpid()

    def offer(self, payload: bytes, origin: bytes) -> None:
        """Take notice of an ended span; called wherever a span ends, so it neither waits nor draws."""
        if self._ended.is_set() or os.getpid() != self._process:
            return
        if unpack_span(payload).session_id == self._session_id and not self._news.qsize():
            self._news.put(None)
            while self._unstarted:
                self._unstarted.pop().start()

    def _follow(self) -> None:
        while True:
            self._news.get()
            if self._ended.is_set():
                return
            begun = time.monotonic()
            with guarded("live display"):
                self.draw()
            self._ended.wait(max(_EVERY_S, _SHARE * (time.monotonic() - begun)))

    def draw(self, *, whole: bool = False) -> SessionView:
        """Show what is known by now; unless ``whole``, without the text that front ends without HTML show."""
        with self._lock:
            view = self._read()
            if not whole and (self._ended.is_set() or view.version == self._drawn):
                return view
            from IPython.display import display

            text = repr(view) if whole else f"Session {view.session.session_id}"
            bundle = {"text/html": view._repr_html_(), "text/plain": text}
            display(  # type: ignore[no-untyped-call,unused-ignore]  # typed in some releases
                bundle, raw=True, display_id=self._display_id, update=self._drawn is not None
            )
            self._drawn = view.version
            view.is_displayed = lambda: _displays.get(self._session_id) is self
            return view

    def end(self) -> None:
        """Show the last state and stop."""
        self._ended.set()
        self._exporter.detach(self)
        self._news.put(None)
        self.draw(whole=True)
