"""Making spans through a plain provider, and programs that run in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import Tracer

from lucidic._export import Exporter


class Feeding(SpanProcessor):
    """Give every span to an exporter."""

    def __init__(self, exporter: Exporter) -> None:
        self.exporter = exporter

    def on_start(self, span, parent_context=None) -> None:
        self.exporter.span_started(span)

    def on_end(self, span: ReadableSpan) -> None:
        self.exporter.span_ended(span)


def tracer_for(exporter: Exporter) -> Tracer:
    """Return a tracer whose spans go to the exporter."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Feeding(exporter))
    return provider.get_tracer("lucidic.tests", "1")


PREAMBLE = """
import os, signal, sys, threading, time
from pathlib import Path
from lucidic._export import Exporter, ExportOptions, Store
from lucidic._records import SessionRecord
from helpers import tracer_for
home = Path(sys.argv[1])
"""


def run_program(source: str, home: Path, *arguments: str, environment: dict[str, str] | None = None):
    """Run a Python program that has ``home`` and the imports above; return the finished process."""
    here = Path(__file__).parent
    root = here.parents[1]
    path = os.pathsep.join(map(str, (here, root / "core", root / "adapters")))
    return subprocess.run(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(source), str(home), *arguments],
        env={**os.environ, "PYTHONPATH": path, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
