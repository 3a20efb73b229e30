"""What the OTLP sink makes of every kind of answer."""

from __future__ import annotations

import threading
import time

import pytest
import receiver as plan
from helpers import tracer_for
from receiver import Receiver

from lucidic._export import Exporter, ExportOptions, _sink_worker
from lucidic._export._backoff import Backoff
from lucidic._export._http import HTTPClient, HTTPError
from lucidic._export._otlp import OTLPSink
from lucidic._export._otlp_config import OTLPConfig


class AtOnce(Backoff):
    """Wait for nothing, and remember what was asked for."""

    def __init__(self) -> None:
        super().__init__(lambda low, high: high)
        self.asked: list[float | None] = []

    def delay(self, retry_after=None) -> float:
        self.asked.append(retry_after)
        super().delay(retry_after)
        return 0.0


@pytest.fixture
def connect(tmp_path):
    """Make an exporter with one OTLP sink; at the end its books must balance."""
    made = []

    def connect(receiver: Receiver, **settings) -> Exporter:
        options = ExportOptions(store=False, fsync_window=0, poll=0.02, **settings)
        sink = OTLPSink(OTLPConfig(endpoint=f"{receiver.url}/v1/traces", timeout=5, gzip=False))
        exporter = Exporter(tmp_path, options=options, sinks=[sink])
        exporter.sink_workers[0]._backoff = AtOnce()
        made.append(exporter)
        return exporter

    yield connect
    for exporter in made:
        exporter.shutdown(1)
        assert 0 == exporter.health().unexplained


def produce(exporter: Exporter, number: int, size: int = 10) -> None:
    tracer = tracer_for(exporter)
    for index in range(number):
        tracer.start_span(f"span-{index}", attributes={"text": "x" * size}).end()


def page_of(exporter: Exporter):
    (page,) = exporter.health().sinks
    return page


def test_healthy_endpoint_gets_everything_once(connect):
    """An endpoint that answers as it should gets every span once, in batches."""
    with Receiver() as receiver:
        exporter = connect(receiver)
        produce(exporter, 1200)
        assert exporter.flush(20)
        assert (1200, 1200) == (len(receiver.accepted), receiver.distinct)
        assert receiver.requests < 20
        assert (1200, 0, 0) == (
            page_of(exporter).delivered,
            page_of(exporter).pending,
            page_of(exporter).rejected,
        )


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_transient_refusals_are_tried_again(connect, code):
    """What may pass is tried again until it has passed, and nothing is sent twice that was accepted."""
    with Receiver(*[plan.status(code)] * 3) as receiver:
        exporter = connect(receiver)
        produce(exporter, 5)
        assert exporter.flush(20)
        assert 5 == len(receiver.accepted)
        assert receiver.requests >= 4


def test_retry_after_reaches_the_backoff(connect):
    """The seconds that an endpoint asks for are the ones that are waited; a later success forgets them."""
    with Receiver(plan.status(429, retry_after="7"), plan.status(503, retry_after="soon")) as receiver:
        exporter = connect(receiver)
        produce(exporter, 1)
        assert exporter.flush(20)
        assert [7.0, None] == exporter.sink_workers[0]._backoff.asked
        assert 1 == len(receiver.accepted)


@pytest.mark.parametrize(
    "action",
    [
        plan.status(401),
        plan.status(403),
        plan.status(404),
        plan.status(415),
        plan.status(301, location="/elsewhere"),
        plan.status(307, location="http://other.invalid/v1/traces"),
        plan.status(200, body=b"<html>Log in</html>", kind="text/html"),
        plan.status(200, kind=""),
        plan.status(200, body=b"\xff\xff", kind="application/x-protobuf"),
        plan.status(200, body=b'{"user": "you"}', kind="application/json"),
    ],
    ids=["401", "403", "404", "415", "301", "other-host", "html", "no-type", "garbage", "other-json"],
)
def test_misconfiguration_pauses_and_keeps_the_spans(connect, action, caplog):
    """An answer that is no acknowledgement and that waiting does not mend pauses the sink; the spans stay."""
    with Receiver() as receiver:
        receiver.always = action
        exporter = connect(receiver)
        produce(exporter, 5)
        assert not exporter.flush(20)
        page = page_of(exporter)
        assert ("paused", 0, 5) == (page.state, page.delivered, page.pending)
        assert 1 == sum("refuses us" in record.message for record in caplog.records)
        receiver.always = plan.ok
        assert exporter.flush(20)
        assert 5 == len(receiver.accepted)
        assert "ok" == page_of(exporter).state


def test_redirect_on_the_same_host_is_followed(connect):
    """A 307 and a 308 to the same host are followed with the same request."""
    with Receiver(plan.status(307, location="/a"), plan.status(308, location="/b")) as receiver:
        exporter = connect(receiver)
        produce(exporter, 3)
        assert exporter.flush(20)
        assert 3 == len(receiver.accepted)


def test_json_answer_counts(connect):
    """An endpoint that acknowledges protobuf with an empty JSON object has acknowledged it."""
    with Receiver() as receiver:
        receiver.always = plan.ok_json
        exporter = connect(receiver)
        produce(exporter, 3)
        assert exporter.flush(20)
        assert 3 == len(receiver.accepted)


def test_too_large_batches_are_halved(connect):
    """A batch that is too large arrives in parts, every span once."""
    with Receiver() as receiver:
        receiver.always = plan.larger_than(20_000)
        exporter = connect(receiver)
        produce(exporter, 64, size=1000)
        assert exporter.flush(20)
        assert (64, 64) == (len(receiver.accepted), receiver.distinct)


def test_early_refusal_is_read(connect):
    """A server that refuses a large body without reading it gets the batch in parts."""
    with Receiver() as receiver:
        receiver.refuse_beyond = 300_000
        exporter = connect(receiver)
        produce(exporter, 64, size=20_000)
        assert exporter.flush(30)
        assert (64, 64) == (len(receiver.accepted), receiver.distinct)


def test_slow_headers_are_cut_off(tmp_path):
    """An answer whose headers come one byte at a time is given up when the request's time is over."""

    def drip(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        try:
            while not handler.owner.release.wait(0.02):
                handler.wfile.write(b"x")
        except OSError:
            handler.close_connection = True

    with Receiver() as receiver:
        receiver.always = drip
        client = HTTPClient(lambda: None)
        started = time.monotonic()
        with pytest.raises(HTTPError):
            client.request("POST", receiver.url, b"", {}, until=started + 0.3, limit=10)
        assert time.monotonic() - started < 3
        receiver.release.set()


def test_proxy_of_the_environment_is_used(monkeypatch):
    """With a proxy in the environment the request goes to it, and names the endpoint."""
    with Receiver() as proxy:
        monkeypatch.setenv("http_proxy", f"http://user:pass@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "other.invalid")
        client = HTTPClient(lambda: None)
        answer = client.request(
            "POST", "http://endpoint.invalid/v1/traces", b"", {}, until=time.monotonic() + 5, limit=10
        )
        assert 200 == answer.status
        (sent,) = proxy.headers
        assert "endpoint.invalid" == sent["host"]
        with pytest.raises(HTTPError):
            client.request("POST", "http://other.invalid/", b"", {}, until=time.monotonic() + 1, limit=10)
        client.close()


def test_too_large_span_is_cut(connect):
    """A single span that is too large arrives with its values cut."""
    with Receiver() as receiver:
        receiver.always = plan.larger_than(10_000)
        exporter = connect(receiver)
        produce(exporter, 1, size=1_000_000)
        assert exporter.flush(20)
        assert 1 == len(receiver.accepted)
        assert 1 == page_of(exporter).delivered


@pytest.mark.parametrize("code", [400, 422])
def test_poison_is_isolated(connect, code, tmp_path):
    """Of a batch with one span that the endpoint refuses, all others arrive, and that one is kept aside."""
    with Receiver() as receiver:
        receiver.always = plan.refusing("span-77", code=code)
        exporter = connect(receiver)
        gate = threading.Event()
        exporter.sink_workers[0].sink.deliver = _held(exporter.sink_workers[0].sink.deliver, gate)
        produce(exporter, 256)
        gate.set()
        assert exporter.flush(20)
        assert 255 == len(receiver.accepted) == receiver.distinct
        assert (255, 1) == (page_of(exporter).delivered, page_of(exporter).rejected)
        assert 1 == len(list((tmp_path / "spool" / "quarantine").glob("*.seg")))
        # One batch or two, depending on where the first one began: 2 log2(n) + 1 requests for the one with poison.
        assert receiver.requests <= 2 * 8 + 2


def _held(deliver, gate):
    def held(batch, timeout):
        gate.wait(20)
        return deliver(batch, timeout)

    return held


@pytest.mark.parametrize("count", [1, 50])
def test_endpoint_that_refuses_everything_loses_nothing(connect, count):
    """An endpoint that has refused every span since the start is the wrong one: the spans stay, few or many."""
    with Receiver() as receiver:
        receiver.always = plan.status(400)
        exporter = connect(receiver)
        produce(exporter, count)
        assert not exporter.flush(20)
        page = page_of(exporter)
        assert ("paused", count, 0) == (page.state, page.pending, page.rejected)


def test_partial_success_is_counted_and_not_sent_again(connect):
    """Spans that an endpoint rejects in a success are counted as rejected and never sent again."""
    with Receiver() as receiver:
        receiver.always = plan.partial(2)
        exporter = connect(receiver, linger=5)
        produce(exporter, 10)
        assert exporter.flush(20)
        page = page_of(exporter)
        assert 10 == page.delivered + page.rejected
        assert len(receiver.accepted) == page.delivered
        assert page.rejected >= 2


@pytest.mark.parametrize("action", [plan.reset_before, plan.truncated], ids=["reset", "truncated"])
def test_broken_connections_are_tried_again(connect, action):
    """A connection that breaks before or within the answer is tried again."""
    with Receiver(action, action, action) as receiver:
        exporter = connect(receiver)
        produce(exporter, 5)
        assert exporter.flush(20)
        assert (5, 5) == (len(receiver.accepted), receiver.distinct)


def test_reset_after_commit_repeats_one_batch(connect):
    """A connection that breaks after the endpoint took a batch repeats that batch and no other."""
    with Receiver(plan.reset_after) as receiver:
        exporter = connect(receiver)
        produce(exporter, 5)
        assert exporter.flush(20)
        produce(exporter, 5)
        assert exporter.flush(20)
        assert 10 == receiver.distinct
        assert 10 < len(receiver.accepted) <= 15


def test_dead_endpoint_keeps_the_spans_for_the_next_process(connect, tmp_path):
    """What could not be delivered before the exit is delivered by the next exporter on the same folder."""
    with Receiver() as receiver:
        port = receiver.port
    dead = connect(receiver)
    produce(dead, 20)
    assert not dead.shutdown(0.3)
    assert 20 == page_of(dead).pending
    with Receiver(address=("127.0.0.1", port)) as receiver:
        exporter = connect(receiver)
        produce(exporter, 1)
        assert exporter.flush(20)
        deadline = time.monotonic() + 10
        while page_of(exporter).pending and time.monotonic() < deadline:
            receiver.arrived.acquire(timeout=0.1)
        assert (21, 21) == (len(receiver.accepted), receiver.distinct)


def test_hanging_endpoint_holds_nobody_up(connect):
    """With an endpoint that never answers, flush and shutdown keep their times, and the store gets its spans."""
    with Receiver() as receiver:
        receiver.always = plan.hang
        exporter = connect(receiver)
        produce(exporter, 3)
        started = time.monotonic()
        assert not exporter.flush(0.2)
        assert not exporter.shutdown(0.2)
        assert time.monotonic() - started < 2
        receiver.release.set()


def test_delivery_that_hangs_is_begun_anew_when_somebody_waits(connect, monkeypatch):
    """Of two requests that hang, a flush and the exit each break one off; the spans arrive, once each."""
    monkeypatch.setattr(_sink_worker, "HEDGE_SECONDS", 0.0)
    with Receiver(plan.hang, plan.ok, plan.hang) as receiver:
        exporter = connect(receiver)
        tracer = tracer_for(exporter)
        for _ in range(2):
            tracer.start_span("s").end()
            assert receiver.arrived.acquire(timeout=20)
            assert exporter.flush(20)
            assert receiver.arrived.acquire(timeout=20)
        tracer.start_span("last").end()
        assert exporter.shutdown(20)
        assert 3 == receiver.distinct == len(receiver.accepted)


def test_slow_sink_is_broken_off_only_once(connect, monkeypatch):
    """A sink that has not answered since it was broken off is given its time, however often somebody waits."""
    monkeypatch.setattr(_sink_worker, "HEDGE_SECONDS", 0.0)
    with Receiver(plan.hang, plan.hang) as receiver:
        exporter = connect(receiver)
        tracer_for(exporter).start_span("s").end()
        assert receiver.arrived.acquire(timeout=20)
        for _ in range(5):
            assert not exporter.flush(0.05)
        assert receiver.arrived.acquire(timeout=20)
        for _ in range(5):
            assert not exporter.flush(0.05)
        assert 2 == receiver.requests
        receiver.release.set()
        assert exporter.flush(20)
        assert 1 == len(receiver.accepted)


def test_slow_answer_is_cut_off(connect):
    """An answer that never ends is given up, and the batch is sent again."""

    def endless(handler):
        handler.send_response(200)
        handler.send_header("content-type", "application/x-protobuf")
        handler.send_header("content-length", "1000000")
        handler.end_headers()
        try:
            while not handler.owner.release.is_set():
                handler.wfile.write(b"\x00" * 1000)
        except OSError:
            handler.close_connection = True

    with Receiver(endless) as receiver:
        exporter = connect(receiver)
        produce(exporter, 3)
        exporter.flush(20)
        assert receiver.requests >= 1
        receiver.release.set()


def test_headers_of_the_configuration_are_sent(tmp_path):
    """Every request carries the headers that were configured, and says what it is."""
    with Receiver() as receiver:
        config = OTLPConfig(
            endpoint=f"{receiver.url}/v1/traces", headers={"authorization": "Bearer x"}, gzip=True
        )
        exporter = Exporter(tmp_path, options=ExportOptions(store=False), sinks=[OTLPSink(config)])
        produce(exporter, 2)
        assert exporter.flush(10)
        exporter.shutdown(5)
        (sent, *_) = receiver.headers
        assert ("Bearer x", "gzip", "application/x-protobuf") == (
            sent["authorization"],
            sent["content-encoding"],
            sent["content-type"],
        )
        assert 2 == len(receiver.accepted)
