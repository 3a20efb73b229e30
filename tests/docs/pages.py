"""Read the Python blocks of a page, and run them as they stand."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from opentelemetry import trace


PAGES = Path(__file__).parents[2] / "docs" / "documents"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def block(page: str, saying: str) -> str:
    """Return the one Python block of a page that contains a text."""
    blocks = _BLOCK.findall((PAGES / page).read_text())
    (found,) = [code for code in blocks if saying in code]
    return found


def blocks() -> list[tuple[str, str]]:
    """Return every Python block of every page, with the page's name."""
    pages = sorted(PAGES.glob("*.md"))
    return [(page.name, code) for page in pages for code in _BLOCK.findall(page.read_text())]


def run(page: str, saying: str, **names: Any) -> dict[str, Any]:
    """Run a block unmodified, with these names defined, and return its names."""
    space = dict(names)
    exec(compile(block(page, saying), page, "exec"), space)
    return space


def run_in_loop(page: str, saying: str, then: Any = None, **names: Any) -> Any:
    """Run a block inside a running event loop, and await what ``then`` makes of its names."""

    async def main() -> Any:
        space = run(page, saying, **names)
        return None if then is None else await then(space)

    return asyncio.run(main())


def plain(name):
    with trace.get_tracer("user").start_as_current_span(name):
        pass


def llm_spans(captured):
    return [span for span in captured.spans if span.attributes.get("openinference.span.kind") == "LLM"]


def ends(captured):
    return [record.session_id for record in captured.sessions if record.event == "end"]
