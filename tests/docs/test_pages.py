"""Every Python block of the guides runs, top to bottom, against a scripted provider."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from agents import set_trace_processors

import lucidic as lai
from lucidic import _providers
from lucidic.testing import ScriptedServer


DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = sorted(
    page.relative_to(DOCS).as_posix()
    for folder in (".", "guides", "how-to")
    for page in (DOCS / folder).glob("*.md")
)


@pytest.fixture(autouse=True)
def _loop():
    """An event loop for ``run_sync`` functions, which take the thread's own one."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture(autouse=True)
def _provider(monkeypatch, tmp_path):
    set_trace_processors([])  # the SDK's own exporter would send to its backend
    with ScriptedServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        monkeypatch.chdir(tmp_path)
        yield
        lai.shutdown()
        while (
            _providers._active
        ):  # a page instruments for good; the next test wants the frameworks as they are
            _providers.Instrumentation(next(iter(_providers._active))).remove()


# The SDK's run_sync shuts its loop's generators down after each run and goes on with the loop.
@pytest.mark.filterwarnings("ignore:asynchronous generator:ResourceWarning")
@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs_as_it_stands(page):
    """The blocks of a page run in order, each seeing the names of those before it."""
    space = {"__name__": "page"}
    for code in BLOCK.findall((DOCS / page).read_text()):
        exec(compile(code, page, "exec"), space)


@pytest.mark.parametrize("page", [page for page in PAGES if "/" in page])
def test_a_guide_says_how_to_verify_and_what_may_go_wrong(page):
    """Each guide has the sections Verify and Troubleshooting."""
    text = (DOCS / page).read_text()

    assert "\n## Verify\n" in text
    assert "\n## Troubleshooting\n" in text


@pytest.mark.parametrize("page", [*PAGES, "../README.md"])
def test_links_between_pages_lead_somewhere(page):
    """Every relative link of a page names a file that exists."""
    here = (DOCS / page).parent
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (DOCS / page).read_text())

    assert [] == [link for link in links if not (here / link).exists()]
