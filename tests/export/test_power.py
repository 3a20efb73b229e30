"""What a power failure may leave of the journal: what the disk was asked to keep, and any part of the rest."""

from __future__ import annotations

import os
import random
import shutil
import threading

import pytest
from helpers import tracer_for

from lucidic._config import Settings
from lucidic._export import Exporter, ExportOptions
from lucidic._export import _segment as segment_module
from lucidic._export._segment import is_open
from lucidic._runtime import _make_exporter
from lucidic.errors import ConfigurationError


PAGE = 512


class Disk:
    """Remember what was written to each file, and how much of it the disk was asked to keep."""

    def __init__(self, monkeypatch) -> None:
        self.content: dict[int, bytearray] = {}
        self.kept: dict[int, int] = {}
        self.folders = 0
        write, sync, folder = os.write, os.fdatasync, os.fsync

        def writing(fd, data):
            self.content.setdefault(os.fstat(fd).st_ino, bytearray()).extend(data)
            return write(fd, data)

        def syncing(fd):
            inode = os.fstat(fd).st_ino
            self.kept[inode] = len(self.content[inode])
            return sync(fd)

        def syncing_folder(fd):
            self.folders += 1
            return folder(fd)

        monkeypatch.setattr(segment_module.os, "write", writing)
        monkeypatch.setattr(segment_module.os, "fdatasync", syncing)
        monkeypatch.setattr(segment_module.os, "fsync", syncing_folder)

    def image(self, inode: int, chance: random.Random) -> bytes:
        """Return what may be there after the failure: pages behind the kept part came in any order, or not at all."""
        whole, kept = self.content[inode], self.kept.get(inode, 0)
        image = bytearray(whole[: chance.randint(kept, len(whole))])
        for at in range(kept - kept % PAGE, len(image), PAGE):
            if chance.random() < 0.4:
                start, end = max(at, kept), min(at + PAGE, len(image))
                image[start:end] = bytes(end - start)
        if chance.random() < 0.3:
            image += bytes(chance.randrange(3 * PAGE))
        return bytes(image)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A journal of several segments of which the disk was asked to keep a part; the disk, and the kept spans."""
    disk = Disk(monkeypatch)
    options = ExportOptions(store=True, fsync_window=3600, segment_bytes=6000)
    exporter = Exporter(tmp_path / "life", options=options)
    monkeypatch.setattr(exporter._drainer, "wake", lambda: None)
    tracer = tracer_for(exporter)
    for index in range(40):
        tracer.start_span(f"kept-{index}", attributes={"text": "x" * (index * 37 % 900)}).end()
    exporter.journal.sync()
    for index in range(30):
        tracer.start_span(f"late-{index}", attributes={"text": "x" * (index * 53 % 900)}).end()
    return exporter, disk


def test_images_of_a_power_failure(written, tmp_path):
    """Of any image, what the disk was asked to keep is delivered, nothing false is, and the books balance."""
    exporter, disk = written
    assert len(os.listdir(exporter.journal.folder)) > 3
    assert disk.folders
    for seed in range(25):
        chance = random.Random(seed)
        home = tmp_path / f"image-{seed}"
        shutil.copytree(exporter.journal.folder, home / "spool")
        for path in sorted((home / "spool").glob("*.seg")):
            inode = (exporter.journal.folder / path.name).stat().st_ino
            # Of another boot of the machine: its process does not run any more.
            dead = path.with_name(path.name.replace(path.name.split("-")[1], "0" * 10))
            path.rename(dead)
            dead.write_bytes(disk.image(inode, chance))
        after = Exporter(home, options=ExportOptions(fsync_window=0))
        after.store.catch_up()
        names = [span.name for span in after.store.spans()]
        assert len(names) == len(set(names))
        assert {f"kept-{index}" for index in range(40)} <= set(names)
        assert set(names) <= {f"{word}-{index}" for word in ("kept", "late") for index in range(40)}
        health = after.health()
        assert (0, 0) == (health.unexplained, health.sinks[0].pending)
        after.store.close()


def test_always_asks_the_disk_before_a_span_has_ended(tmp_path, monkeypatch):
    """With ``always`` every span whose end has returned is in the part that a power failure leaves."""
    disk = Disk(monkeypatch)
    exporter = Exporter(tmp_path, options=ExportOptions(store=False, fsync_always=True, segment_bytes=2000))
    tracer = tracer_for(exporter)
    for _ in range(20):
        tracer.start_span("s").end()
        (inode,) = {os.fstat(exporter.journal.segment.fd).st_ino}
        left = {number: len(content) - disk.kept.get(number, 0) for number, content in disk.content.items()}
        # The segment that has just been begun holds its header and nothing yet.
        assert not any(size for number, size in left.items() if number != inode)
        assert left[inode] in (0, len(disk.content[inode]))
    exporter.shutdown(5)


def test_finished_segments_and_the_end_are_kept_too(tmp_path, monkeypatch):
    """The disk is asked for segments that were finished meanwhile, and for everything at the shutdown."""
    disk = Disk(monkeypatch)
    options = ExportOptions(store=False, fsync_window=3600, segment_bytes=2000)
    exporter = Exporter(tmp_path, options=options)
    tracer = tracer_for(exporter)
    for _ in range(30):
        tracer.start_span("s").end()
    exporter.shutdown(10)
    assert len(disk.content) > 2
    assert disk.kept == {number: len(content) for number, content in disk.content.items()}


def test_last_spans_of_a_burst_are_asked_for_in_time(tmp_path, monkeypatch):
    """What is written just after the disk was asked is asked for within the window, though nothing follows."""
    asked = threading.Semaphore(0)
    monkeypatch.setattr(segment_module.os, "fdatasync", lambda _fd: asked.release())
    exporter = Exporter(tmp_path, options=ExportOptions(store=False, linger=0.01, poll=60))
    tracer = tracer_for(exporter)
    for _ in range(3):
        tracer.start_span("s").end()
        assert asked.acquire(timeout=20)
    exporter.shutdown(5)


@pytest.mark.parametrize("window", [0, 3600])
def test_finished_segments_do_not_stay_open(tmp_path, window, monkeypatch):
    """Where no thread asks the disk, finished segments are let go all the same, and no descriptor is kept for each."""
    options = ExportOptions(store=False, fsync_window=window, segment_bytes=1000)
    exporter = Exporter(tmp_path, options=options)
    monkeypatch.setattr(exporter._drainer, "wake", lambda: None)
    tracer = tracer_for(exporter)
    for _ in range(100):
        tracer.start_span("s").end()
    names = os.listdir(exporter.journal.folder)
    still_open = [name for name in names if is_open(exporter.journal.folder / name)]
    assert len(names) > 20
    assert len(still_open) <= 1 + 8 * bool(window)
    exporter.shutdown(5)


@pytest.mark.parametrize(
    ("said", "window", "always"),
    [("", 0.5, False), ("2", 2.0, False), ("never", 0.0, False), ("always", 0.0, True), ("0", 0.0, True)],
)
def test_policy_comes_from_the_environment(tmp_path, said, window, always):
    """``LUCIDIC_FSYNC`` says how much a power failure may cost."""
    settings = Settings.load({"LUCIDIC_HOME": str(tmp_path), "LUCIDIC_FSYNC": said})
    options = _make_exporter(settings).options
    assert (window, always) == (options.fsync_window, options.fsync_always)


def test_policy_that_is_none_is_said():
    """What is no policy is an error that names the variable and what it may hold."""
    with pytest.raises(ConfigurationError, match=r"LUCIDIC_FSYNC.*'always' or 'never'"):
        Settings.load({"LUCIDIC_FSYNC": "sometimes"})
