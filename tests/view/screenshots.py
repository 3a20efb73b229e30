"""Take the documentation's pictures of the page: ``python -m tests.view.screenshots docs/images [NAME …]``."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import sync_playwright
from tests.view.browser import chromium, served
from tests.view.conftest import MS, START_NS, FakeReader, Spans


PLACES = ("Lisbon", "Kyoto", "Oslo", "Lima", "Porto", "Ghent", "Hanoi", "Turin", "Quito", "Split")
USERS = ("ada", "grace", "alan", "edsger")


def conversation(spans: Spans) -> None:
    """A trip is planned: tools at once, a tool that fails, retrieval by an agent of another framework."""
    weather(spans, 1, 0)
    booking(spans, 2, 41_000)
    hotels(spans, 3, 83_000)
    thanks(spans, 4, 131_000)


def weather(spans: Spans, trace: int, at: int) -> None:
    question = "I have two days in Zürich or Paris next week. Where is the weather better?"
    answer = "Paris: sunny and 21 °C on both days. Zürich expects rain at 14 °C.\nI would go to Paris."
    root = spans.add("travel desk", "AGENT", at, at + 3_931, has_input=question, output=answer, trace=trace)
    calls = [("get_weather", {"city": "Paris", "days": 2}), ("get_weather", {"city": "Zürich", "days": 2})]
    spans.model(
        at + 5, at + 1_315, asked=question, calls=calls, tokens=(412, 58, 256, 24), parent=root, trace=trace
    )
    for (name, given), sky, length in zip(calls, ("sunny", "rain"), (205, 480), strict=True):
        found = json.dumps({"city": given["city"], "sky": sky, "celsius": 21 if sky == "sunny" else 14})
        spans.tool(
            name, at + 1_320, at + 1_320 + length, arguments=given, output=found, parent=root, trace=trace
        )
    spans.model(
        at + 1_810,
        at + 3_920,
        asked=question,
        says=answer,
        tokens=(530, 41, 256, 0),
        parent=root,
        trace=trace,
    )


def booking(spans: Spans, trace: int, at: int) -> None:
    question = "Then Paris. Book me the 9:40 flight on Tuesday, please."
    answer = "The 9:40 is sold out. The 11:15 has seats; shall I take that one?"
    error = ("BookingError", "no seats left on LX 632")
    root = spans.add("travel desk", "AGENT", at, at + 3_610, has_input=question, output=answer, trace=trace)
    call = {"flight": "LX 632", "date": "2026-09-29", "passengers": [{"name": "Ada", "seat": "window"}]}
    spans.model(at + 4, at + 1_100, asked=question, calls=[("book_flight", call)], parent=root, trace=trace)
    spans.tool("book_flight", at + 1_110, at + 1_904, arguments=call, parent=root, trace=trace, error=error)
    spans.model(
        at + 1_910,
        at + 3_600,
        asked=question,
        says=answer,
        tokens=(640, 28, 512, 0),
        parent=root,
        trace=trace,
    )


def hotels(spans: Spans, trace: int, at: int) -> None:
    question = "Yes. And a quiet hotel near the Seine?"
    answer = "Hôtel des Quais: 34 rooms, on a side street behind Quai Voltaire, from 180 € a night."
    root = spans.add("travel desk", "AGENT", at, at + 8_200, has_input=question, output=answer, trace=trace)
    spans.model(
        at + 3,
        at + 900,
        asked=question,
        calls=[("ask_concierge", {"wish": "quiet, near the Seine"})],
        parent=root,
        trace=trace,
    )
    tool = spans.tool(
        "ask_concierge",
        at + 905,
        at + 7_010,
        arguments={"wish": "quiet, near the Seine"},
        output=answer,
        parent=root,
        trace=trace,
    )
    agent = spans.add(
        "concierge",
        "AGENT",
        at + 910,
        at + 7_005,
        has_input="quiet, near the Seine",
        output=answer,
        parent=tool,
        trace=trace,
    )
    documents = {
        "retrieval.documents.0.document.id": "h-17",
        "retrieval.documents.0.document.content": "Hôtel des Quais, 34 rooms, quiet side street",
        "retrieval.documents.0.document.score": 0.92,
        "retrieval.documents.1.document.content": "Pension Voltaire, 12 rooms",
        "retrieval.documents.1.document.score": 0.71,
    }
    spans.add(
        "hotel search",
        "RETRIEVER",
        at + 920,
        at + 1_250,
        has_input="quiet hotel Seine",
        attributes=documents,
        parent=agent,
        trace=trace,
    )
    model = spans.model(
        at + 1_260,
        at + 6_990,
        asked="quiet, near the Seine",
        says=answer,
        tokens=(2_104, 310, 2_048, 128),
        parent=agent,
        trace=trace,
    )
    spans.add("POST /v1/chat/completions", None, at + 1_270, at + 6_980, parent=model, trace=trace)
    spans.model(
        at + 7_020,
        at + 8_190,
        asked=question,
        says=answer,
        tokens=(810, 36, 768, 0),
        parent=root,
        trace=trace,
    )


def thanks(spans: Spans, trace: int, at: int) -> None:
    question, answer = "Perfect, thank you!", "Have a good trip, Ada."
    root = spans.add("travel desk", "AGENT", at, at + 1_120, has_input=question, output=answer, trace=trace)
    spans.model(
        at + 3, at + 1_110, asked=question, says=answer, tokens=(870, 9, 768, 0), parent=root, trace=trace
    )


def store() -> FakeReader:
    """A store with the conversation as its newest session, and others before it."""
    spans = Spans("user_ada_conv_2291")
    conversation(spans)
    shown = spans.session(name="Two days in Paris", fields={"user_id": "ada", "tags": ["travel", "beta"]})
    reader = FakeReader([shown], list(spans.made))
    for number in range(1, 240):
        user = USERS[number % 4]
        length = (20 + number * 37 % 400) * 1000 * MS
        start = START_NS - number * 1_700_000 * MS
        turns = 1 + number * 7 % 9
        reader.known.append(
            replace(
                shown,
                session_id=f"user_{user}_conv_{2291 - number}",
                name=f"A trip to {PLACES[number % 10]}" if number % 5 else None,
                state="active" if number == 1 else "died" if number % 41 == 0 else "finished",
                started_ns=start,
                ended_ns=None if number == 1 else start + length,
                fields={"user_id": user, "tags": ["travel"] if number % 3 else []},
                traces=turns,
                spans=turns * 6 + number % 5,
                errors=2 if number % 7 == 0 else 0,
                total_tokens=turns * 1_340 + number % 97,
            )
        )
    return reader


SESSION = "/session?id=user_ada_conv_2291"
SPAN = f"{SESSION}&trace={2:032x}&span={8:016x}"
PICTURES = {
    "page-sessions": ("/", {}),
    "page-session": (SESSION, {}),
    "page-session-dark": (SESSION, {"color_scheme": "dark"}),
    "page-error": (SPAN, {}),
    "page-error-dark": (SPAN, {"color_scheme": "dark"}),
    "page-model": (f"{SESSION}&trace={1:032x}&span={2:016x}", {}),
    "page-narrow": (SESSION, {"viewport": {"width": 390, "height": 780}}),
}


def main(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with served(store()) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for name in names or PICTURES:
            path, options = PICTURES[name]
            tab = browser.new_page(
                base_url=address, **{"viewport": {"width": 1120, "height": 700}, **options}
            )
            tab.goto(path)
            tab.locator("#lc-live.lc-on").wait_for()
            tab.screenshot(path=folder / f"{name}.png")
            tab.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
