"""The page in a real browser.

Needs the package playwright and a Chromium, whose path is in LUCIDIC_CHROMIUM or which is called chromium.
"""

from __future__ import annotations

import os
import shutil
import threading
from dataclasses import replace

import pytest


sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = os.environ.get("LUCIDIC_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium; set LUCIDIC_CHROMIUM"),
]


@pytest.fixture
def address(reader):
    """The page over the fake store, served on a free port of this machine."""
    import socket

    import uvicorn

    from lucidic._view._page._app import make_app

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(make_app(reader), log_level="error", ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)
    listener.close()


@pytest.fixture
def page(address):
    """A tab that notes what a page must never do: complain, ask somebody else, open a dialog."""
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(base_url=address)
        faults = []
        tab.on("console", lambda said: faults.append(said.text))
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on("dialog", lambda dialog: (faults.append("dialog"), dialog.dismiss()))
        tab.on("request", lambda asked: asked.url.startswith((address, "data:")) or faults.append(asked.url))
        yield tab
        assert faults == []
        browser.close()


def test_from_the_list_to_a_models_messages(page):
    """A click on the session, one on the row, and the messages are there."""
    page.goto("/")
    page.get_by_role("link", name="Trip planning").click()
    page.get_by_text("What is the weather in Paris").first.wait_for()
    row = page.locator("details.lc-k-model").first
    row.locator("summary").first.click()
    row.get_by_text("You are a travel agent.").wait_for()


def test_the_keyboard_is_enough(page):
    """Tab reaches a row, Enter opens it."""
    page.goto("/session?id=thread-42")
    row = page.locator("details.lc-k-tool").first
    row.locator("summary").focus()
    page.keyboard.press("Enter")
    row.get_by_text('"city": "Paris"').wait_for()


def test_new_spans_appear_and_open_rows_stay_open(page, reader, trip):
    """The page follows a running program without losing the reader's place."""
    page.goto("/session?id=thread-42")
    row = page.locator("details.lc-k-model").first
    row.locator("summary").first.click()
    page.locator("#lc-live", has_text="live").wait_for()
    late = replace(
        trip.made[0], trace_id="e" * 32, start_ns=trip.made[-1].end_ns, end_ns=trip.made[-1].end_ns + 9
    )
    reader.kept.append(late)
    reader.known[0] = replace(reader.known[0], spans=22, traces=4)
    page.locator(".lc-turn").nth(3).wait_for()
    assert row.get_attribute("open") is not None


def test_a_link_to_a_span_shows_it(page, trip):
    """Whoever gets the link sees the row, marked and on the screen."""
    page.goto(f"/session?id=thread-42&span={trip.made[13].span_id}")
    found = page.locator(".lc-found")
    found.wait_for()
    assert "book" in found.inner_text()
    assert found.is_visible()


def test_planted_scripts_do_nothing(page, reader, trip):
    """Scripts in the texts of a session neither run nor ask for anything, on the page and in an opened row."""
    canary = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
    for place, span in enumerate(reader.kept):
        texts = {key: canary if isinstance(value, str) else value for key, value in span.attributes.items()}
        kind = {"openinference.span.kind": span.attributes.get("openinference.span.kind", "")}
        reader.kept[place] = replace(span, name=canary, attributes={**texts, **kind})
    reader.known[0] = trip.session(name=canary)
    page.goto("/")
    page.get_by_role("link", name="onerror").click()
    page.locator(".lc-turn").first.wait_for()
    for row in page.locator("details[data-span]").all():
        row.locator("summary").first.click()
    sync_api.expect(page.locator("details[data-src]")).to_have_count(0)


def test_thousands_of_spans_are_one_page(page, reader, trip):
    """A session of 5,000 spans opens."""
    tool = trip.made[5]
    for number in range(5000):
        reader.kept.append(replace(tool, span_id=f"{number + 10_000:016x}"))
    page.goto("/session?id=thread-42")
    page.locator(".lc-turn").nth(2).wait_for()
    assert page.locator("details[data-span]").count() > 5000
