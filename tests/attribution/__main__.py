"""Play the whole matrix and print what is not as it must be: ``python -m tests.attribution``."""

from __future__ import annotations

import argparse
import sys
import time

from .matrix import places, run_place, sampled, surprises


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.attribution", description=__doc__)
    parser.add_argument(
        "--sessions", type=int, default=50, help="concurrent sessions of a cell (default: 50)"
    )
    parser.add_argument("--only", default="", help="play only the cells whose name contains this")
    parser.add_argument("--sample", action="store_true", help="play only what the tests play")
    parser.add_argument("--all", action="store_true", help="print every cell, those as they must be too")
    options = parser.parse_args()
    began = time.perf_counter()
    cells = bad = excused = spans = 0
    for place in sampled() if options.sample else places():
        if options.only not in str(place):
            continue
        verdict = run_place(place, sessions=options.sessions)
        cells += 1
        spans += verdict.spans
        found = surprises(place, verdict)
        bad += bool(found)
        excused += bool(verdict.faults) and not found
        if found or options.all:
            print(f"{'BAD  ' if found else '     '}{place}: {verdict}", flush=True)
    print(
        f"{cells} cells, {spans} spans: {cells - bad - excused} perfect, {excused} as far as Python allows, "
        f"{bad} not as they must be; {time.perf_counter() - began:.1f} s"
    )
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
