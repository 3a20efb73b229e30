"""An exporter with nothing but the hosted sink, and a clock for session records."""

from __future__ import annotations

from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from lucidic._export import Exporter, ExportOptions
from lucidic._export._hosted_config import HostedConfig
from lucidic._export._hosted_sink import HostedSink
from lucidic._records import SessionRecord


CONFIG = HostedConfig(api_key="k", agent_id="a", base_url="http://fake.lucidic.test/api")


class Feeding(SpanProcessor):
    def __init__(self, exporter):
        self.exporter = exporter

    def on_end(self, span):
        self.exporter.span_ended(span)


class Rig:
    """An exporter whose one sink is the hosted one, and a clock for session records."""

    def __init__(self, fake, home, config=None):
        self.fake = fake
        transport = None if config else fake.transport()
        self.sink = HostedSink(config or CONFIG, home / "hosted", transport=transport)
        options = ExportOptions(store=False, fsync_window=0, linger=0.01, poll=0.05)
        self.exporter = Exporter(home, options=options, sinks=[self.sink])
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(Feeding(self.exporter))
        self.tracer = provider.get_tracer("tests")
        self.now = 1

    def session(self, event, session_id="s", **fields):
        self.now += 1
        record = SessionRecord(session_id=session_id, event=event, time_ns=self.now, fields=fields)
        self.exporter.session_changed(record)

    def spans(self, number, session_id="s", **attributes):
        given = {"lucidic.session_id": session_id} if session_id else {}
        for place in range(number):
            self.tracer.start_span(f"{session_id}-{place}", attributes={**given, **attributes}).end()

    @property
    def book(self):
        (book,) = self.exporter.health().sinks
        return book

    def stored_once(self, number, session_id="s"):
        assert len(self.fake.story(session_id)) == number
        assert self.book.delivered == number
        assert self.book.pending == 0
        assert self.exporter.health().unexplained == 0
