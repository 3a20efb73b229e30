"""A Chromium and a served page, for tests and pictures; the fixtures are those of every test here."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from contextlib import contextmanager

import pytest
import uvicorn

from lucidic._view._page._app import make_app


def chromium() -> str | None:
    """Return the path of a Chromium: LUCIDIC_CHROMIUM, or the system's."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("LUCIDIC_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@contextmanager
def served(reader):
    """Serve the page over a store on a free port of this machine, and give its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(make_app(reader), log_level="error", ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()


needs_chromium = pytest.mark.skipif(
    chromium() is None, reason="there is no Chromium; run `make browser` or set LUCIDIC_CHROMIUM"
)


@pytest.fixture(scope="module")
def browser():
    """One browser for all tests of this file."""
    from playwright.sync_api import sync_playwright  # only where a browser is asked for

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def address(reader):
    """The page over the fake store."""
    with served(reader) as address:
        yield address


@pytest.fixture
def page(browser, address):
    """A tab that notes what a page must never do: complain, ask somebody else, open a dialog."""
    with watched(browser, address) as tab:
        yield tab


class watched:
    """A tab; leaving the block fails if it did what a page must never do."""

    def __init__(self, browser, address, **options) -> None:
        self.tab = browser.new_page(base_url=address, viewport={"width": 1280, "height": 860}, **options)
        self.faults = faults = []
        self.tab.set_default_timeout(20_000)
        self.tab.on("console", lambda said: faults.append(said.text))
        self.tab.on("pageerror", lambda error: faults.append(str(error)))
        self.tab.on("dialog", lambda dialog: (faults.append("dialog"), dialog.dismiss()))
        self.tab.on(
            "request", lambda asked: asked.url.startswith((address, "data:")) or faults.append(asked.url)
        )

    def __enter__(self):
        return self.tab

    def __exit__(self, kind, *_):
        self.tab.close()
        if kind is None:
            assert self.faults == []
