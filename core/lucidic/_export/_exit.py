"""Being called at the end of every kind of process, and at SIGTERM.

``atexit`` alone is not enough: it does not run in forked ``multiprocessing`` children before Python 3.13, nor in
Celery's. Nothing here is needed for spans to survive; it is what sends them before the process is gone.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final


logger = logging.getLogger("lucidic.export")

Callback = Callable[[], object]
_callbacks: dict[Callback, None] = {}
_hooked = False
_anchor: Final = type("_Anchor", (), {})()
_PRIORITY: Final = 10
SIGTERM_VARIABLE: Final = "LUCIDIC_SIGTERM"


def at_exit(callback: Callback) -> None:
    """Call ``callback`` once or more often at the end of this process and of its forked children.

    In the main process that is ``atexit``: after the executors have finished. In the children of multiprocessing
    and billiard it is their finalizers, and ``threading``'s exit hook where it exists (CPython 3.9+, private).
    """
    global _hooked
    _callbacks[callback] = None
    if _hooked:
        return
    _hooked = True
    atexit.register(_run)
    # Inherited by forked children, whose ``atexit`` may not run. In the main process it would come too early:
    # before the tasks that executors still have to do.
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        with contextlib.suppress(RuntimeError):
            register(_run_in_child)
    os.register_at_fork(after_in_child=_forked)
    if _is_child():
        _finalize_in("multiprocessing.util")


def not_at_exit(callback: Callback) -> None:
    """Take a callback back."""
    _callbacks.pop(callback, None)


def _run() -> None:
    for callback in tuple(_callbacks):
        _call(callback)
    if isinstance(getattr(sys, "last_value", None), KeyboardInterrupt):
        _keep_interrupt_status()


def _keep_interrupt_status() -> None:
    """Let a process that Ctrl-C ends still exit as killed by SIGINT.

    Python forgets the interrupt when anything runs ``exec`` on a text at exit, in any thread, and
    SQLAlchemy does at its first statements. It remembers it by the same way.
    """
    with contextlib.suppress(KeyboardInterrupt):
        exec("raise KeyboardInterrupt")  # noqa: S102  # a constant


def _call(callback: Callback) -> None:
    try:
        callback()
    except Exception:
        logger.exception("Something failed at the exit; what was written stays for the next process.")


def _is_child() -> bool:
    process: Any = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def _run_in_child() -> None:
    if _is_child():
        _run()


def _forked() -> None:
    # A child's bootstrap empties the list of finalizers first and then calls what is registered here.
    for name in ("multiprocessing.util", "billiard.util"):
        util: Any = sys.modules.get(name)
        if util is not None:
            with contextlib.suppress(AttributeError, TypeError):
                util.register_after_fork(_anchor, _finalizer(name))


def _finalizer(name: str) -> Callable[[object], None]:
    return lambda _anchor: _finalize_in(name)


def _finalize_in(name: str) -> None:
    util: Any = sys.modules.get(name)
    if util is not None:
        util.Finalize(None, _run, exitpriority=_PRIORITY)


def on_sigterm(callback: Callback) -> bool:
    """Call ``callback`` before SIGTERM ends the process; return whether that could be arranged.

    Only where nobody else has said what SIGTERM is to do: in the main thread, with the system's own handling in
    place, not under pytest, and not with ``LUCIDIC_SIGTERM=0``. The process still dies of the signal, with the
    exit code that it would have had. The callback must be quick and must not wait for locks.
    """
    refused = os.environ.get(SIGTERM_VARIABLE, "").lower() in ("0", "false", "no", "off")
    if (
        refused
        or "PYTEST_CURRENT_TEST" in os.environ
        or threading.current_thread() is not threading.main_thread()
    ):
        return False
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return False
    owner = os.getpid()

    def terminate(number: int, _frame: FrameType | None) -> None:
        # A forked child inherits the handler: what is to be done for the parent is not its business.
        if os.getpid() == owner:
            with contextlib.suppress(Exception):
                callback()
        if signal.getsignal(number) is terminate:
            signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    try:
        signal.signal(signal.SIGTERM, terminate)
    except ValueError:
        return False  # a subinterpreter
    return True
