"""Draw ``session.svg``, the picture of the demo's session in the README: ``python docs/images/make.py``."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console

from lucidic._demo import run_demo
from lucidic._export import Store
from lucidic._runtime import runtime
from lucidic._view._terminal import draw_session
from lucidic._view._tree import turns


def main() -> None:
    """Hold the demo's conversation and draw its session."""
    session_id = run_demo()
    store = Store(runtime().settings.home)
    store.catch_up()
    session = store.session(session_id)
    if session is None:
        raise SystemExit("The demo left no session.")
    console = Console(record=True, width=92, file=io.StringIO(), force_terminal=True)
    console.print(draw_session(session, turns(store.spans(session_id))))
    # Without the fonts that would be fetched: a picture asks nobody for anything.
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title="lucidic show"), flags=re.DOTALL)
    Path(__file__).with_name("session.svg").write_text(drawn)


if __name__ == "__main__":
    main()
