"""The local page."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

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
    (span,) = re.findall(rf'href="(/span\?id={model.span_id}[^"]*)"', shown)
    chat = client.get(span.replace("&amp;", "&")).text
    assert "You are a travel agent." in chat
    assert "calls <b>get_weather</b>" in chat


def test_contents_come_when_a_row_is_opened(client, trip):
    """A session's page has no contents; each row names where its own are."""
    shown = client.get("/session?id=thread-42").text
    assert "You are a travel agent." not in shown
    fragment = client.get(f"/span?id={trip.made[3].span_id}&trace={trip.made[3].trace_id}&fragment=1").text
    assert "You are a travel agent." in fragment
    assert "<html" not in fragment


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name=TRIP", True),
        ("name=nope", False),
        ("state=died", False),
        ("user=user-7&tag=beta", True),
        ("page=2", False),
    ],
)
def test_the_list_is_searched(client, query, found):
    """The form's fields narrow, and an odd state is no filter."""
    assert ("Trip planning" in client.get(f"/?{query}").text) is found


def test_many_turns_are_paged_and_a_link_to_a_span_finds_its_page(client, reader, trip):
    """The newest turns are first seen, and a span's link opens the page that it is on."""
    for number in range(120):
        reader.kept.append(
            replace(trip.made[0], trace_id=f"{number + 10:032x}", span_id=f"{number + 900:016x}")
        )
    last = client.get("/session?id=thread-42").text
    assert "Turn 123<" in last
    assert "Turn 1<" not in last
    assert "Turn 1<" in client.get("/session?id=thread-42&page=1").text
    assert "Turn 1<" in client.get(f"/session?id=thread-42&span={trip.made[0].span_id}").text


@pytest.mark.parametrize("address", ["/session?id=nope", "/span?id=nope&trace=zz", "/export", "/session"])
def test_what_is_not_there_is_a_clear_404(client, address):
    """A stale link says so."""
    answer = client.get(address)
    assert answer.status_code == 404
    assert "<script>alert" not in client.get("/session?id=<script>alert(1)</script>").text


def test_content_is_never_markup(client, reader, trip):
    """A script planted in the texts, names, ids and image addresses of a session is only ever text."""
    canary = '"><script>alert(1)</script>'
    image = "llm.input_messages.0.message.contents.0.message_content.image.image.url"
    texts = [
        replace(
            span,
            name=canary,
            attributes={
                **{key: canary for key, value in span.attributes.items() if isinstance(value, str)},
                "openinference.span.kind": span.attributes.get("openinference.span.kind", ""),
                image: f"javascript:{canary}",
            },
        )
        for span in trip.made
    ]
    reader.kept[:] = texts
    reader.known[0] = trip.session(name=canary, fields={"user_id": canary, "tags": [canary]})
    pages = ["/", "/session?id=thread-42", "/export?id=thread-42", f"/?name={canary}"]
    pages += [f"/span?id={span.span_id}&trace={span.trace_id}" for span in trip.made]
    for page in pages:
        html = client.get(page).text
        assert "<script>alert" not in html
        assert "javascript:" not in re.sub(r">[^<]*<", "><", html)


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
    for address in ("/", "/nope", "/page.js", "/session?id=nope"):
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
    assert await anext(told) == "event: changed\ndata: {}\n\n"
    assert len(looks) == 2
    assert await anext(told) == ": still here\n\n"
    assert len(looks) == 32
    await told.aclose()
