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


def run_program(
    source: str,
    home: Path,
    *arguments: str,
    environment: dict[str, str] | None = None,
    script: Path | None = None,
    timeout: float = 60,
):
    """Run a Python program that has ``home`` and the imports above; return the finished process.

    With ``script`` it is a file, which children that are spawned can import.
    """
    program = PREAMBLE + textwrap.dedent(source)
    if script is not None:
        script.write_text(program)
    here = Path(__file__).parent
    root = here.parents[1]
    path = os.pathsep.join(map(str, (here, root / "core", root / "adapters")))
    inherited = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    return subprocess.run(
        [sys.executable, *([str(script)] if script else ["-c", program]), str(home), *arguments],
        env={**inherited, "PYTHONPATH": path, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
