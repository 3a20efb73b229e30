"""The local page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from lucidic._records import SpanEvent, SpanLink
from lucidic._view._page._app import _Page, make_app
from lucidic.errors import StoreError


@pytest.fixture
def client(reader):
    """A browser on this machine."""
    return TestClient(make_app(reader), base_url="http://localhost:8000")


def test_the_list_leads_to_a_session_and_on_to_a_span(client, trip):
    """Three clicks from all sessions to one model call's messages."""
    listed = client.get("/").text
    (address,) = re.findall(r'href="(/session\?[^"]+)"', listed)
    assert "Trip planning" in listed
    shown = client.get(address.replace("&amp;", "&")).text
    assert "What is the weather in Paris and Zürich? 🌦️" in shown
    assert 'aria-label="Tokens by turn: most in turn 3, 3,414 tokens"' in shown
    model = trip.made[3]
    (place,) = re.findall(rf'href="([^"]*)" data-span="{model.span_id}"', shown)
    chat = client.get(place.replace("&amp;", "&")).text
    assert "You are a travel agent." in chat
    assert "calls <b>get_weather</b>" in chat


def test_contents_come_when_a_span_is_opened(client, trip):
    """A session's page has no contents; a span's are a part of their own."""
    shown = client.get("/session?id=thread-42").text
    assert "You are a travel agent." not in shown
    part = client.get(f"/span?id={trip.made[3].span_id}&trace={trip.made[3].trace_id}&part=1").text
    assert "You are a travel agent." in part
    assert "<html" not in part


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=TRIP", True),
        ("q=read-4", True),
        ("q=SER-7", True),
        ("q=beta", True),
        ("q=nope", False),
        ("state=died", False),
        ("state=odd", True),
        ("user=user-7&tag=beta", True),
        ("user=user", False),
        ("failed=1", True),
    ],
)
def test_the_list_is_searched(client, query, found):
    """The form's fields narrow, and an odd state is no filter."""
    assert ("Trip planning" in client.get(f"/?{query}").text) is found


def test_a_long_list_comes_in_parts(client, reader, trip):
    """The page has the first sessions and says where the others are; a reader without scripts follows links."""
    for number in range(1, 1000):
        known = trip.session(session_id=f"s-{number}", started_ns=trip.session().started_ns - number)
        reader.known.append(known)
    page = client.get("/").text
    assert page.count("<tr><td><a") == 50
    assert "1,000 sessions" in page
    sources = [source.replace("&amp;", "&") for source in re.findall(r'data-src="([^"]+)"', page)]
    assert len(sources) == 20
    assert client.get(sources[-1]).text.count("<tr><td><a") == 50
    (link,) = re.findall(r'href="([^"]+)"[^>]*>Sessions 951 to 1000<', page)
    assert ">s-999<" in client.get(link).text


def test_a_long_session_comes_in_parts(client, reader, trip):
    """A page has ten turns and fifty lines of each; every other part is where the page says it is."""
    for number in range(120):
        reader.kept.append(
            replace(trip.made[0], trace_id=f"{number + 10:032x}", span_id=f"{number + 900:016x}")
        )
    for number in range(500):
        reader.kept.append(replace(trip.made[5], span_id=f"{number + 90_000:016x}"))
    page = client.get("/session?id=thread-42").text
    assert len(re.findall("Turn [0-9]+</b>", page)) == 10
    assert page.count("data-span=") < 200
    seen = set(re.findall('data-span="([0-9a-f]+)"', page))
    waiting = re.findall(r'data-src="([^"]+)" style', page)
    while waiting:
        part = client.get(waiting.pop().replace("&amp;", "&"))
        assert part.status_code == 200
        seen |= set(re.findall('data-span="([0-9a-f]+)"', part.text))
        waiting += re.findall(r'data-src="([^"]+)" style', part.text)
    folded = {span.span_id for span in trip.made if span.attributes.get("openinference.span.kind") == "CHAIN"}
    assert {span.span_id for span in reader.kept} - seen <= folded


@pytest.mark.parametrize("place", [3, 400])
def test_a_link_to_a_span_brings_its_part(client, reader, trip, place):
    """Wherever it is, its row and its content are on the page at once."""
    for number in range(500):
        reader.kept.append(replace(trip.made[5], span_id=f"{number + 90_000:016x}", trace_id=f"{7:032x}"))
    span = reader.kept[place]
    page = client.get(f"/session?id=thread-42&trace={span.trace_id}&span={span.span_id}").text
    assert f'data-span="{span.span_id}"' in page
    assert f"span {span.span_id}</li>" in page


@pytest.mark.parametrize(
    ("query", "spans"),
    [
        ("q=LX+632", 4),
        ('q="city":+"Paris"', 2),
        ("q=NO+SEATS", 3),
        ("kind=tool", 3),
        ("failed=1", 3),
        ("failed=1&kind=tool", 1),
        ("q=nowhere", 0),
    ],
)
def test_the_spans_of_a_session_are_searched(client, query, spans):
    """In names, messages, arguments and errors, by kind, and by failure."""
    page = client.get(f"/session?id=thread-42&{query}").text
    assert page.count("data-span=") == spans
    assert f"{spans} span{' matches' if spans == 1 else 's match'}." in page


def test_every_span_has_a_line_where_it_is_asked_for(client, trip):
    """Steps are folded; they unfold for the whole session, and for a link to one of them."""
    step = trip.made[1]
    folded = client.get("/session?id=thread-42").text
    assert folded.count("data-span=") == 12
    (every,) = re.findall(r'href="([^"]+)">Show every span<', folded)
    page = client.get(every.replace("&amp;", "&")).text
    assert page.count("data-span=") == 21
    assert "Fold the steps" in page
    linked = client.get(f"/session?id=thread-42&trace={step.trace_id}&span={step.span_id}").text
    assert f'data-span="{step.span_id}"' in linked


def test_a_long_history_is_folded(client, reader, trip):
    """What was said before the user's last words is there, and out of the way."""
    said = {"openinference.span.kind": "LLM"}
    for place in range(12):
        role = ("user", "assistant")[place % 2]
        said[f"llm.input_messages.{place}.message.role"] = role
        said[f"llm.input_messages.{place}.message.content"] = f"words {place}"
    reader.kept[3] = replace(trip.made[3], attributes=said)
    html = client.get(f"/span?id={trip.made[3].span_id}&trace={trip.made[3].trace_id}&part=1").text
    folded, _, rest = html.partition("</details>")
    assert "10 earlier messages" in folded
    assert "words 9" in folded
    assert "words 10" not in folded
    assert "words 10" in rest


@pytest.mark.parametrize(
    ("state", "why"), [("active", "running"), ("finished", "begun elsewhere"), ("died", "its process died")]
)
def test_a_turn_without_its_root_says_so(client, reader, trip, state, why):
    """A turn that another program began shows what is known of it, and why it has no root."""
    reader.kept[:] = [replace(trip.made[6], parent_span_id="f" * 16)]
    reader.known[0] = trip.session(state=state)
    page = client.get("/session?id=thread-42").text
    assert re.search(rf'lc-warn">no root span \({why}', page)
    assert "get_weather" in page


def test_json_is_folded_and_anything_else_is_text(client, reader, trip):
    """Small values are open, large ones closed, and what only looks like JSON is shown as it is."""
    texts = {
        '{"a": {"b": [1, true, null, "x"]}}': ">b</span> 4 items<",
        json.dumps(
            {"many": list(range(400))}
        ): '<details class="lc-j-row"><summary><span class="lc-j-key">many',
        json.dumps({"huge": list(range(4000))}): "<pre>",
        "[" * 100_000: "<pre>[[[",
        "[" * 900 + "]" * 900: "<pre>[",
        '{"broken": ': "<pre>{&quot;broken",
        "[]": "<pre>[]",
    }
    for text, drawn in texts.items():
        reader.kept[5] = replace(trip.made[5], attributes={**trip.made[5].attributes, "output.value": text})
        span = reader.kept[5]
        assert drawn in client.get(f"/span?id={span.span_id}&trace={span.trace_id}&part=1").text


@pytest.mark.parametrize("address", ["/session?id=nope", "/span?id=nope&trace=zz", "/export", "/session"])
def test_what_is_not_there_is_a_clear_404(client, address):
    """A stale link says so."""
    answer = client.get(address)
    assert answer.status_code == 404
    assert "<script>alert" not in client.get("/session?id=<script>alert(1)</script>").text


def test_content_is_never_markup(client, reader, trip):
    """A script planted wherever a session holds text, keys and ids included, is only ever text."""
    canary = '"><script>alert(1)</script>'
    image = "llm.input_messages.0.message.contents.{}.message_content.image.image.url"
    addresses = [f"javascript:{canary}", f"data:text/html,{canary}", f"data:image/svg+xml,{canary}", canary]
    addresses.append(f"data:image/png;base64,{canary}")
    planted = []
    for span in trip.made:
        said = {key: canary for key, value in span.attributes.items() if isinstance(value, str)}
        said |= {"openinference.span.kind": span.attributes.get("openinference.span.kind", "")}
        said |= {image.format(place): address for place, address in enumerate(addresses)}
        said |= {f"key{canary}": canary, "nested": json.dumps({canary: [canary]})}
        event = SpanEvent(name=canary, time_ns=span.end_ns, attributes={canary: canary})
        raised = {f"exception.{part}": canary for part in ("type", "message", "stacktrace")}
        error = SpanEvent(name="exception", time_ns=span.end_ns, attributes=raised)
        link = SpanLink(trace_id=canary, span_id=canary)
        planted.append(
            replace(
                span,
                name=canary,
                session_id=canary,
                attributes=said,
                events=(event, error),
                links=(link,),
                status_message=canary,
                scope_name=canary,
                resource={canary: canary},
            )
        )
    planted[0] = replace(planted[0], attributes={"openinference.span.kind": canary, "input.value": canary})
    reader.kept[:] = planted
    fields = {"user_id": canary, "tags": [canary], "task": canary, "is_successful_reason": canary}
    reader.known[0] = trip.session(name=canary, session_id=canary, source=canary, fields=fields)
    named = quote(canary)
    pages = [
        "/",
        f"/?q={named}",
        f"/?user={named}&tag={named}",
        f"/session?id={named}",
        f"/export?id={named}",
    ]
    pages += ["/part/sessions", f"/part/turns?id={named}", f"/session?id={named}&q={named}&kind={named}"]
    pages += [
        f"/part/lines?id={named}&trace={trip.made[0].trace_id}",
        f"/session?id={named}{named}",
        f"/{named}",
    ]
    for span in trip.made:
        pages += [f"/span?id={span.span_id}&trace={span.trace_id}{part}" for part in ("", "&part=1")]
        pages.append(f"/session?id={named}&trace={span.trace_id}&span={span.span_id}")
    for page in pages:
        answer = client.get(page)
        assert "alert(1)" in answer.text or answer.status_code == 404, page
        assert "<script>alert" not in answer.text
        for name, value in re.findall(r'\s([a-z-]+)="([^"]*)"', answer.text):
            assert not name.startswith("on")
            if name in {"href", "src", "action"}:
                assert value.startswith(("/", "#", "data:image/png;base64,")) or value == "data:,"


def test_images_in_a_message_are_shown_and_others_named(client, reader, trip):
    """A data URI is part of the span; an address elsewhere is never fetched."""
    start = "llm.input_messages.1.message.contents.{}.message_content.image.image.url"
    shown, named = "data:image/png;base64,iVBORw0KGgo=", "https://example.com/x.png"
    attributes = {**trip.made[3].attributes, start.format(0): shown, start.format(1): named}
    del attributes["llm.input_messages.1.message.content"]
    reader.kept[3] = replace(trip.made[3], attributes=attributes)
    html = client.get(f"/span?id={trip.made[3].span_id}&trace={trip.made[3].trace_id}").text
    assert f'<img src="{shown}"' in html
    assert f"image at {named}" in html


def test_the_export_is_one_file_without_the_page(client):
    """It opens anywhere: no script, no address of the page."""
    answer = client.get("/export?id=thread-42")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "You are a travel agent." in answer.text
    assert "/page.js" not in answer.text


def test_only_this_machines_names_are_answered(client):
    """A foreign name that resolves to this machine gets nothing (DNS rebinding)."""
    for host in ("evil.example", "evil.example:8000", "", "[broken"):
        assert client.get("/", headers={"host": host}).status_code == 421
    for host in ("127.0.0.1:1", "[::1]:8000", "LOCALHOST"):
        assert client.get("/", headers={"host": host}).status_code == 200
    assert client.post("/").status_code == 405


def test_beyond_this_machine_a_token_is_wanted_once(reader):
    """Without the token nothing is shown; with it a cookie goes on, and the address bar forgets it."""
    app = make_app(reader, hosts=("*",), token="s3cret")
    assert TestClient(app).get("/").status_code == 401
    assert TestClient(app).get("/?token=wrong").status_code == 401
    visitor = TestClient(app)
    first = visitor.get("/session?id=thread-42&token=s3cret", follow_redirects=False)
    assert first.status_code == 303
    assert first.headers["location"] == "/session?id=thread-42"
    assert "httponly" in first.headers["set-cookie"].lower()
    assert visitor.get(first.headers["location"]).status_code == 200


def test_every_answer_forbids_what_the_page_does_not_need(client):
    """Errors and the script included."""
    for address in ("/", "/nope", "/page.js", "/page.css", "/session?id=nope"):
        headers = client.get(address).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_an_unreadable_store_is_a_page(client, reader, monkeypatch):
    """What is wrong is on the screen and not only in a log."""

    def broken():
        raise StoreError("The local store x cannot be used: database is locked")

    monkeypatch.setattr(reader, "catch_up", broken)
    answer = client.get("/")
    assert answer.status_code == 503
    assert "database is locked" in answer.text


async def test_changes_are_told_as_they_happen(reader, trip):
    """A look that finds news says so, thirty without any send a sign of life, and a locked store ends nothing."""
    looks = []

    async def sleep(seconds):
        looks.append(seconds)
        if len(looks) == 2:
            reader.known[0] = trip.session(spans=22)

    told = _Page(reader, sleep)._changes("thread-42")
    assert await anext(told) == "retry: 1000\n\n"
    assert await anext(told) == "event: changed\ndata: {}\n\n", "since the page was made"
    assert await anext(told) == "event: changed\ndata: {}\n\n"
    assert len(looks) == 2
    assert await anext(told) == ": still here\n\n"
    assert len(looks) == 32
    await told.aclose()
