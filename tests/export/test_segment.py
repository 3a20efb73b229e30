"""Damaged segments: cut, flipped, foreign, from the future."""

from __future__ import annotations

import json
import shutil

import pytest
from helpers import tracer_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lucidic._export import Exporter, ExportOptions, Store
from lucidic._export._census import Census
from lucidic._export._reader import SegmentReader
from lucidic._export._segment import HEADER, SPAN, Segment, pack_record, read_header


HEADER_BYTES = json.dumps({"version": 1, "owner": "o", "label": "l", "sinks": ["store"]}).encode()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A sealed segment of twelve spans, made by a real exporter; its bytes and the ends of its records."""
    home = tmp_path_factory.mktemp("whole")
    exporter = Exporter(home, options=ExportOptions(store=False))
    tracer = tracer_for(exporter)
    for index in range(12):
        tracer.start_span(f"span-{index}", attributes={"text": "x" * index * 20}).end()
    exporter.shutdown(5)
    path = exporter.journal.segment.path
    records = list(SegmentReader(path).read(sealed=True))
    return path.read_bytes(), records


def records_of(tmp_path, data: bytes, *, sealed: bool = True):
    path = tmp_path / "cut.seg"
    path.write_bytes(data)
    reader = SegmentReader(path)
    return list(reader.read(sealed=sealed)), reader


def test_cut_at_every_byte_keeps_the_records_before(whole, tmp_path):
    """A segment that ends anywhere gives every record that is whole, and passes over the rest."""
    data, records = whole
    for cut in range(len(data)):
        found, reader = records_of(tmp_path, data[:cut])
        expected = [record for record in records if record.end <= cut]
        assert expected == found
        assert cut == reader.offset


def test_growing_segment_is_read_without_a_gap(whole, tmp_path):
    """A reader that looks at every length of a growing segment gets each record once, none early."""
    data, records = whole
    path = tmp_path / "growing.seg"
    path.write_bytes(b"")
    reader, found = SegmentReader(path), []
    for end in range(0, len(data) + 1, 7):
        path.write_bytes(data[:end])
        found += reader.read(sealed=False)
        assert 0 == reader.damaged
    path.write_bytes(data)
    found += reader.read(sealed=False)
    assert records == found


def test_flipped_bit_costs_one_record(whole, tmp_path):
    """Wherever one bit is flipped, all other records are read."""
    data, records = whole
    for at in range(0, len(data), 3):
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        found, _reader = records_of(tmp_path, bytes(damaged))
        assert len(found) == len(records) - 1
        assert all(record in records for record in found)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage_is_survived(whole, tmp_path, data):
    """Whatever is cut out of, put into or overwritten in a segment, reading ends and gives only real records."""
    content, records = whole
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged)))
        size = data.draw(st.integers(0, 200))
        damaged[at : at + size] = data.draw(st.binary(max_size=60))
    found, reader = records_of(tmp_path, bytes(damaged))
    payloads = {(record.kind, record.sequence, record.payload) for record in records}
    assert all((record.kind, record.sequence, record.payload) in payloads for record in found)
    assert len(damaged) == reader.offset


def test_gap_is_counted_by_the_sequence(tmp_path):
    """Records that cannot be read any more are counted, because their numbers are missing."""
    path = tmp_path / "a.seg"
    records = [pack_record(HEADER, 0, HEADER_BYTES), *(pack_record(SPAN, n, b"x" * 50) for n in range(1, 6))]
    records[2] = b"\0" * len(records[2])
    records[3] = b"\0" * len(records[3])
    path.write_bytes(b"".join(records))
    (count,) = Census(tmp_path).take().values()
    assert (3, 2) == (count.spans, count.damaged)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"foreign " * 100], ids=["empty", "zeros", "text"])
def test_foreign_files_hold_nobody_up(exporter, content):
    """A file in the folder that is no segment is passed over, and the spans of the others arrive."""
    spool = exporter.journal.folder
    spool.mkdir(parents=True)
    (spool / "00000000000000000001-x-1-1-0.seg").write_bytes(content)
    tracer_for(exporter).start_span("s").end()
    assert exporter.flush(10)
    exporter.store.catch_up()
    assert ["s"] == [span.name for span in exporter.store.spans()]


def test_segment_of_a_newer_version_is_left_alone(tmp_path):
    """A segment whose format is newer is neither read nor deleted."""
    header = json.dumps({"version": 99, "sinks": ["store"], "label": "l"}).encode()
    segment = Segment(tmp_path / "spool", header)
    segment.append(SPAN, b"of another format")
    name = segment.name
    del segment
    store = Store(tmp_path)
    store.catch_up()
    store.catch_up()
    assert [] == store.spans()
    assert (tmp_path / "spool" / name).exists()
    store.close()


def test_damaged_header_does_not_hide_the_spans(whole, tmp_path):
    """Spans of a segment whose header is damaged reach the local store."""
    data, records = whole
    spool = tmp_path / "spool"
    spool.mkdir()
    damaged = bytearray(data)
    damaged[records[0].end - 3] ^= 1
    (spool / "00000000000000000001-x-1-1-0.seg").write_bytes(damaged)
    assert read_header(spool / "00000000000000000001-x-1-1-0.seg") is None
    store = Store(tmp_path)
    store.catch_up()
    assert 12 == len(store.spans())
    store.close()


def test_books_balance_over_damage(tmp_path):
    """Spans lost to damage are in the books as dropped, and nothing is unexplained."""
    exporter = Exporter(tmp_path, options=ExportOptions(fsync_window=0))
    tracer = tracer_for(exporter)
    exporter._drainer.wake = lambda: None
    for index in range(20):
        tracer.start_span(f"span-{index}").end()
    path = exporter.journal.segment.path
    data = bytearray(path.read_bytes())
    exporter.journal.forked()
    shutil.copy(path, tmp_path / "copy")
    records = [record for record in SegmentReader(path).read(sealed=True) if record.kind == SPAN]
    data[records[5].end - 3] ^= 1
    path.write_bytes(data)
    again = Exporter(tmp_path)
    again.store.catch_up()
    (page,) = again.health().sinks
    assert ({"damaged": 1}, 19, 0) == (page.dropped, page.delivered, page.unexplained)
    again.store.close()
