"""What the local page costs: CPU of the server, size, and elements in Chromium (``python -m benchmarks.page``).

The store: 1,000 sessions; one of 100 turns with 5,000 spans; one of a single turn with 5,001 spans.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
from pathlib import Path

from starlette.testclient import TestClient
from tests.view.browser import chromium, served

import lucidic as lai
from lucidic._export import Store
from lucidic._runtime import runtime
from lucidic._view._page._app import make_app


WORDS = "Some words of a message, and more of them. " * 8
MODEL = {"openinference.span.kind": "LLM", "llm.model_name": "m", "llm.token_count.prompt": 500}
MODEL |= {f"llm.input_messages.{place}.message.content": WORDS for place in range(6)}
MODEL |= {f"llm.input_messages.{place}.message.role": "user" for place in range(6)}
TOOL = {"openinference.span.kind": "TOOL", "tool.name": "look", "output.value": "found " * 20}
AGENT = {"openinference.span.kind": "AGENT", "input.value": "Where is it?", "output.value": "There."}


def fill() -> None:
    tracer = runtime().provider().get_tracer("bench")

    def turn(pairs: int) -> None:
        with tracer.start_as_current_span("desk", attributes=AGENT):
            for number in range(pairs):
                tracer.start_span("look", attributes={**TOOL, "input.value": f'{{"n": {number}}}'}).end()
                tracer.start_span("chat", attributes=MODEL).end()

    for number in range(998):
        with lai.session(f"Session {number}", user_id=f"user-{number % 7}"):
            turn(2)
    with lai.session("Many turns", session_id="many-turns"):
        for _ in range(100):
            turn(25)
    with lai.session("One turn", session_id="one-turn"):
        turn(2500)


def server(reader: Store) -> None:
    client = TestClient(make_app(reader), base_url="http://localhost")
    long = client.get("/session?id=one-turn").text
    lines = re.findall(r'data-src="(/part/lines[^"]+)"', long)[50].replace("&amp;", "&")
    addresses = {
        "the list": "/",
        "the list, searched": "/?q=session+99",
        "a session of 100 turns, 5,100 spans": "/session?id=many-turns",
        "ten more of its turns": "/part/turns?id=many-turns&start=50",
        "a session of one turn, 5,001 spans": "/session?id=one-turn",
        "fifty more of its spans": lines,
        "its spans, searched": "/session?id=one-turn&q=nowhere",
    }
    for name, address in addresses.items():
        costs = []
        for _ in range(5):
            client = TestClient(make_app(reader), base_url="http://localhost") if not costs else client
            begun = time.process_time()
            size = len(client.get(address).content)
            costs.append(1000 * (time.process_time() - begun))
        print(f"{name:40} first {costs[0]:5.0f} ms, then {min(costs[1:]):4.0f} ms, {size / 1000:5.0f} kB")


def browser(reader: Store) -> None:
    from playwright.sync_api import sync_playwright

    with served(reader) as address, sync_playwright() as driver:
        tool = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for path in ("/", "/session?id=many-turns", "/session?id=one-turn"):
            tab = tool.new_page(base_url=address, viewport={"width": 1280, "height": 860})
            tab.goto(path)
            tab.locator("#lc-live.lc-on").wait_for()
            counted = [tab.evaluate("document.querySelectorAll('*').length")]
            paint = tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            for part in range(1, 11):
                tab.evaluate(f"scrollTo(0, document.documentElement.scrollHeight * {part} / 10)")
                tab.wait_for_timeout(400)
                counted.append(tab.evaluate("document.querySelectorAll('*').length"))
            print(f"{path:40} {counted[0]} elements, scrolled {max(counted)}, first paint {paint:.0f} ms")
            tab.close()
        tool.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ["LUCIDIC_HOME"] = home
        fill()
        lai.flush()
        with contextlib.closing(Store(Path(home))) as reader:
            reader.catch_up()
            server(reader)
            if chromium() is not None:
                browser(reader)
        lai.shutdown()


if __name__ == "__main__":
    main()
