"""Storms one after the other through the whole pipeline, and the memory that each leaves.

``python -m tests.concurrency.memory --sessions 1000 --storms 3`` prints the figures.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.attribution.cells import Cell
from tests.attribution.jobs import Job, forget
from tests.attribution.ways import BIND
from tests.attribution.workloads_mixed import Mixed

import lucidic as lai

from .storm import Storm


class Left(NamedTuple):
    """What a storm has left when every span is delivered and the garbage is collected."""

    spans: int
    """Spans that the process has made so far."""
    blocks: int
    """Memory blocks that Python's allocator has given out."""
    resident: int
    """Bytes of memory that the process has, by the operating system; 0 where that does not tell."""


def storms(count: int, *, sessions: int) -> Iterator[Left]:
    """Play storms of so many conversations each, and say after each what is left."""
    workload = Mixed()
    with workload.instrumented():
        for seed in range(count):
            jobs = [Job(f"user_{number:04d}_storm_{seed:04d}") for number in range(sessions)]
            Storm(seed)(Cell(workload, BIND, jobs))
            forget()
            assert lai.flush()
            del jobs
            gc.collect()
            produced = lai.health().produced
            yield Left(produced, sys.getallocatedblocks(), _resident())


def _resident() -> int:
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.concurrency.memory", description=__doc__)
    parser.add_argument("--sessions", type=int, default=1000, help="conversations of a storm (default: 1000)")
    parser.add_argument("--storms", type=int, default=3, help="storms (default: 3)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["LUCIDIC_HOME"] = home
        for left in storms(options.storms, sessions=options.sessions):
            print(*left, flush=True)
        lai.shutdown()


if __name__ == "__main__":
    main()
