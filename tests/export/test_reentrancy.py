"""Signal handlers and finalizers that end spans while a span is being ended."""

from __future__ import annotations

import gc
import sys
import threading

from helpers import tracer_for

from lucidic._export import Exporter, ExportOptions


def _lines_of(call, prefix: str) -> int:
    """Count the traced lines of our own code in a call."""
    lines = 0

    def trace(frame, event, _argument):
        nonlocal lines
        if prefix not in frame.f_code.co_filename:
            return None
        lines += event == "line"
        return trace

    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(None)
    return lines


def _interrupted(call, inner, at: int, prefix: str) -> None:
    """Run ``inner`` once, when ``call`` comes to its ``at``-th line, as a signal handler would."""
    line = 0

    def trace(frame, event, _argument):
        nonlocal line
        if prefix not in frame.f_code.co_filename:
            return None
        if event == "line":
            line += 1
            if line == at:
                sys.settrace(None)
                inner()
        return trace

    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(None)


def test_ending_a_span_at_every_line_of_ending_a_span(tmp_path):
    """Wherever a signal handler interrupts the end of a span, it can end one itself, and both are written."""
    exporter = Exporter(tmp_path, options=ExportOptions(fsync_window=0, segment_bytes=3000, store=False))
    tracer = tracer_for(exporter)
    # The first one also opens the segment and starts the threads.
    warm = tracer.start_span("warm")
    lines = _lines_of(warm.end, "lucidic/_export")
    assert lines > 20
    for at in range(1, lines + 20):
        outer, inner = tracer.start_span(f"outer-{at}"), tracer.start_span(f"inner-{at}")
        _interrupted(outer.end, inner.end, at, "lucidic/_export")
        if inner.is_recording():
            inner.end()
    expected = 1 + 2 * (lines + 19)
    health = exporter.health()
    assert (expected, expected, 0) == (health.produced, health.written, health.unexplained)
    exporter.shutdown(1)


def test_first_span_interrupted_at_every_line(tmp_path):
    """Wherever the very first span of a process is interrupted by another one, both are written."""
    lines = 200
    for at in range(1, lines, 7):
        exporter = Exporter(tmp_path / str(at), options=ExportOptions(fsync_window=0, store=False))
        tracer = tracer_for(exporter)
        outer, inner = tracer.start_span("outer"), tracer.start_span("inner")
        exporter.journal.forked()  # forget the segment that the starts have opened
        _interrupted(outer.end, inner.end, at, "lucidic/_export")
        if inner.is_recording():
            inner.end()
        health = exporter.health()
        assert (2, 2, 0) == (health.produced, health.written, health.unexplained), at
        exporter.shutdown(1)


def test_finalizers_end_spans(exporter):
    """A span that a finalizer ends, whenever the collector runs, is written like any other."""
    tracer = tracer_for(exporter)

    class Holder:
        def __init__(self, name: str) -> None:
            self.span, self.me = tracer.start_span(name), self

        def __del__(self) -> None:
            self.span.end()

    for index in range(50):
        Holder(f"held-{index}")
        tracer.start_span("plain").end()
    gc.collect()
    assert exporter.flush(10)
    assert 100 == len(exporter.store.spans())


def test_ending_spans_takes_no_lock(exporter):
    """A thread that holds every lock of the exporter does not stop another one from ending spans."""
    tracer = tracer_for(exporter)
    tracer.start_span("first").end()
    locks = [
        exporter.journal.memory.lock,
        exporter.census._lock,
        exporter.store._lock,
        exporter._drainer._first,
    ]
    held = [lock for lock in locks if lock.acquire(blocking=False)]
    done = threading.Event()

    def work() -> None:
        for _ in range(20):
            tracer.start_span("s").end()
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert done.wait(10)
    thread.join()
    for lock in held:
        lock.release()
    assert exporter.flush(10)


def test_span_that_cannot_be_encoded_is_counted(exporter):
    """A span of which nothing can be made is counted as dropped, and the caller never sees why."""

    class Broken:
        resource = property(lambda _self: 1 / 0)
        instrumentation_scope = None

    exporter.span_started(Broken())
    exporter.span_ended(Broken())
    health = exporter.health()
    assert ({"encoding": 1}, 0) == (health.dropped, health.unexplained)
