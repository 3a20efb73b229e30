"""What ends a process without an exit: SIGTERM and SIGHUP."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

from lucidic._runtime import runtime


_FATAL = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


def finish_on_signals() -> None:
    """Finish when a fatal signal comes that nobody else handles; the exit status stays the signal's.

    A handler of the program is left alone, whether it was there before or comes later: it decides whether
    the process ends, and ``atexit`` does the rest. Outside of the main thread nothing can be done.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _FATAL:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _finish)


def _finish(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    try:
        runtime().finish()
    finally:
        os.kill(os.getpid(), number)
