"""What the hosted sink does when the backend or the network does not do what it should."""

from __future__ import annotations

import pytest
from hosted_rig import CONFIG, Rig

from lucidic._export._hosted_config import HostedConfig
from lucidic._export._hosted_sink import HostedSink, delivery_order
from lucidic._export._payload import SpanEntry
from lucidic._records import SessionRecord


@pytest.fixture
def make(fake, tmp_path):
    made = []

    def rig(**options):
        made.append(Rig(fake, tmp_path, **options))
        return made[-1]

    yield rig
    fake.heal()
    for each in made:
        each.exporter.shutdown(5)


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503},
        {"status": 500},
        {"status": 502, "text": "<html>bad gateway</html>"},
        {"status": 429, "retry_after": "0"},
        {"status": 408},
    ],
    ids=["503", "500", "502 of a proxy", "429", "408"],
)
@pytest.mark.parametrize("path", ["initsession", "events", "updatesession"])
def test_passing_failures(make, fake, path, fault):
    """Failures that pass cost nothing: every event is stored once, and the end comes last."""
    rig = make()
    fake.fail(path, times=3, **fault)
    rig.session("start")
    rig.spans(5)
    rig.session("end")
    assert rig.exporter.flush(20)
    rig.stored_once(5)
    assert fake.sessions["s"].ends == 1
    assert fake.sessions["s"].late_events == 0
    assert fake.calls()[-1] == ("PUT", "updatesession")


@pytest.mark.parametrize("stored", [False, True], ids=["before", "after it was stored"])
@pytest.mark.parametrize("path", ["initsession", "events", "updatesession"])
def test_dropped_connections(make, fake, path, stored):
    """A connection that breaks, even after the backend did its work, makes no second event and loses none."""
    rig = make()
    fake.drop(path, times=2, stored=stored)
    rig.session("start", name="N")
    rig.spans(4)
    rig.session("end")
    assert rig.exporter.flush(20)
    rig.stored_once(4)
    assert fake.sessions["s"].late_events == 0
    assert len(fake.sessions) == 1


@pytest.mark.parametrize("status", [401, 403, 402])
def test_credentials_pause(make, fake, status):
    """A refused key pauses the sink and loses nothing; with a good one everything arrives."""
    rig = make()
    fake.denied["k"] = status
    rig.session("start")
    rig.spans(3)
    assert not rig.exporter.flush(10)
    assert rig.book.state == "paused"
    assert str(status) in rig.book.note
    assert rig.book.pending == 3
    other = HostedConfig(api_key="good", agent_id="a", base_url=CONFIG.base_url)
    rig.exporter.add_sink(HostedSink(other, rig.exporter.home / "hosted"))
    assert rig.exporter.flush(10)
    rig.stored_once(3)


@pytest.mark.parametrize(
    "fault",
    [{"status": 200, "text": "<html>Log in to the hotel's network</html>"}, {"status": 404}, {"status": 301}],
    ids=["captive portal", "wrong address", "redirect"],
)
def test_not_the_api(make, fake, fault):
    """What is not the API acknowledges nothing: the sink pauses, and nothing is lost."""
    rig = make()
    fake.fail("", **fault)
    rig.session("start")
    rig.spans(2)
    assert not rig.exporter.flush(10)
    assert rig.book.state == "paused"
    fake.heal()
    assert rig.exporter.flush(10)
    rig.stored_once(2)


def test_poison(make, fake):
    """One event that the backend refuses goes to the quarantine, and the others arrive."""
    rig = make()
    rig.session("start")
    rig.spans(1)
    assert rig.exporter.flush(10)
    fake.fail("events", 422, times=1)
    rig.spans(3)
    assert rig.exporter.flush(10)
    assert len(fake.events) == 3
    assert (rig.book.delivered, rig.book.rejected, rig.book.pending) == (3, 1, 0)
    assert rig.exporter.health().unexplained == 0
    assert len(list((rig.exporter.journal.folder / "quarantine").iterdir())) == 1


def test_everything_refused_is_a_wrong_backend(make, fake):
    """A backend that refuses everything from the start quarantines nothing: the sink pauses."""
    rig = make()
    fake.fail("events", 400)
    rig.session("start")
    rig.spans(6)
    assert not rig.exporter.flush(10)
    assert rig.book.state == "paused"
    fake.heal()
    assert rig.exporter.flush(10)
    rig.stored_once(6)


def test_refused_session(make, fake):
    """The spans of a session that the backend refuses are quarantined, and those of others arrive."""
    rig = make()
    rig.session("start", "good")
    rig.spans(1, "good")
    assert rig.exporter.flush(10)
    fake.fail("initsession", 400)
    rig.spans(2, "bad")
    rig.spans(2, "good")
    assert rig.exporter.flush(10)
    assert len(fake.story("good")) == 3
    assert (rig.book.delivered, rig.book.rejected) == (3, 2)
    assert rig.exporter.health().unexplained == 0


def test_forgotten_session(make, fake):
    """A backend that has lost a session gets it again before its next event."""
    rig = make()
    rig.session("start")
    rig.spans(1)
    assert rig.exporter.flush(10)
    fake.sessions.clear()
    rig.spans(1)
    assert rig.exporter.flush(10)
    rig.stored_once(2)


@pytest.mark.parametrize("damage", [b"", b"no database" * 1000], ids=["emptied", "overwritten"])
def test_damaged_states(make, fake, damage):
    """A lost or damaged file of session ids costs a request and no event."""
    rig = make()
    rig.session("start")
    rig.spans(1)
    assert rig.exporter.flush(10)
    (rig.exporter.home / "hosted" / f"{CONFIG.name}.db").write_bytes(damage)
    rig.spans(1)
    assert rig.exporter.flush(10)
    rig.stored_once(2)
    assert len(fake.calls("initsession")) == 2


def test_large_payload(make, fake):
    """A payload above the threshold is uploaded whole, without the key, and a preview goes with the event."""
    rig = make()
    rig.session("start")
    rig.spans(1, big="x" * 300_000)
    assert rig.exporter.flush(10)
    rig.stored_once(1)
    (event,) = fake.story("s")
    assert event["uploaded"]
    assert event["payload"]["attributes"]["big"] == "x" * 300_000
    posted = next(request for request in fake.requests if request.path == "events")
    assert posted.body["needs_blob"] is True
    assert posted.body["payload"] == {"details": "s-0"}
    upload = next(request for request in fake.requests if request.path.startswith("/blobs/"))
    assert upload.headers["content-encoding"] == "gzip"
    assert "authorization" not in upload.headers
    assert "x-agent-id" not in upload.headers


def test_threshold(make, fake):
    """A payload of exactly the threshold is sent inline, one byte more is uploaded."""
    rig = make()
    rig.session("start")
    rig.spans(1)
    assert rig.exporter.flush(10)
    from lucidic._export._hosted_http import compact

    size = len(compact(fake.story("s")[0]["payload"]))
    for threshold, uploaded in ((size, None), (size - 1, True)):
        fake.events.clear()
        rig.exporter.add_sink(
            HostedSink(
                HostedConfig(api_key="k", agent_id="a", base_url=CONFIG.base_url, blob_threshold=threshold),
                rig.exporter.home / "hosted",
            )
        )
        rig.spans(1)
        assert rig.exporter.flush(10)
        assert fake.story("s")[0].get("uploaded") is uploaded


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 0}], ids=["503", "dropped"])
def test_upload_is_repeated(make, fake, fault):
    """An upload that fails is done again, and the event is stored once."""
    rig = make()
    if fault["status"]:
        fake.fail("/blobs/", times=2, **fault)
    else:
        fake.drop("/blobs/", times=2)
    rig.session("start")
    rig.spans(1, big="x" * 100_000)
    assert rig.exporter.flush(20)
    rig.stored_once(1)
    assert fake.story("s")[0]["uploaded"]


def test_restart(make, fake):
    """What was not delivered when a process ended is delivered by the next one, under the same ids."""
    rig = make()
    fake.drop("events", stored=True)
    rig.session("start", name="N")
    rig.spans(3)
    rig.session("end")
    assert not rig.exporter.shutdown(0.3)
    fake.heal()
    again = make()
    again.spans(1, "other")
    assert again.exporter.flush(20)
    assert len(fake.story("s")) == 3
    assert fake.sessions["s"].is_finished
    assert fake.calls()[-1][1] in ("events", "updatesession")


def test_records_that_come_again(make, fake):
    """Session records that a crash makes come again open nothing and end nothing a second time."""
    rig = make()
    rig.session("start")
    rig.spans(1)
    rig.session("end")
    assert rig.exporter.flush(10)
    before = len(fake.requests)
    rig.now -= 2
    rig.session("start")
    rig.session("end")
    assert rig.exporter.flush(10)
    assert len(fake.requests) == before


def test_reopened_session(make, fake):
    """A finished session that is started again is resumed, and ended again."""
    rig = make()
    for _ in range(2):
        rig.session("start")
        rig.spans(1)
        rig.session("end")
    assert rig.exporter.flush(10)
    session = fake.sessions["s"]
    assert (session.ends, session.late_events, session.is_finished) == (2, 0, True)
    assert len(fake.calls("initsession")) == 2


def test_without_session(make, fake):
    """Spans without a session make no request, and are counted."""
    rig = make()
    rig.spans(3, None)
    assert rig.exporter.flush(10)
    assert fake.requests == []
    assert rig.book.dropped == {"no_session": 3}
    assert rig.exporter.health().unexplained == 0


def test_slow_backend_does_not_hold_up_the_caller(make, fake):
    """While the backend holds an answer back, ending spans and sessions goes on, and the order stays."""
    rig = make()
    gate = fake.hold("initsession")
    rig.session("start")
    rig.spans(50)
    rig.session("end")
    assert fake.events == {}
    gate.set()
    assert rig.exporter.flush(20)
    rig.stored_once(50)
    assert fake.sessions["s"].late_events == 0


def test_answers_that_come_too_late(make, fake):
    """An event whose answer came too late is sent again and stored once."""
    with fake.serve() as url:
        rig = make(config=HostedConfig(api_key="k", agent_id="a", base_url=url, timeout=0.2))
        rig.session("start")
        assert rig.exporter.flush(10)
        fake.hold("events")
        rig.spans(2)
        rig.session("end")
        assert not rig.exporter.flush(0.7)
        fake.heal()
        assert rig.exporter.flush(20)
    rig.stored_once(2)
    assert sum(fake.repeats.values()) > 0
    assert fake.sessions["s"].is_finished


def entry(session_id):
    return SpanEntry(b"", 0, 0, 0, 0, 0, 0, session_id, b"")


def record(event, session_id):
    return SessionRecord(session_id=session_id, event=event, time_ns=0)


def test_order():
    """An end is sent behind the spans that follow it, unless the session was opened again before them."""
    items = [record("end", "a"), entry("b"), entry("a"), record("start", "a"), entry("a"), record("end", "b")]
    assert delivery_order(items) == [1, 2, 0, 3, 4, 5]
