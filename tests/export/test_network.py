"""A home on a network file system."""

from __future__ import annotations

import sqlite3

import pytest
from helpers import tracer_for

from lucidic._export import Exporter, ExportOptions, _network
from lucidic._export._network import network_kind


MOUNTS = """\
21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 21 0:40 / /mnt/team\\040share rw - nfs4 server:/export rw
31 30 254:1 / /mnt/team\\040share/local rw - xfs /dev/vdb rw
32 21 0:41 / /mnt/ssh rw - fuse.sshfs host:/ rw
33 21 0:42 / /mnt/over rw - nfs4 server:/a rw
34 21 254:2 / /mnt/over rw - ext4 /dev/vdc rw
"""


@pytest.fixture
def mounts(tmp_path, monkeypatch):
    """A list of mounts in place of the kernel's."""
    path = tmp_path / "mountinfo"
    path.write_text(MOUNTS)
    monkeypatch.setattr(_network, "MOUNTS", path)
    return path


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/me", None),
        ("/mnt/team share/lucidic", "nfs4"),
        ("/mnt/team share/local/lucidic", None),
        ("/mnt/teams", None),
        ("/mnt/ssh", "fuse.sshfs"),
        ("/mnt/over/lucidic", None),
    ],
)
def test_kind_is_that_of_the_innermost_mount(mounts, folder, kind):
    """A folder is on what is mounted nearest to it, and on the last of two mounts in one place."""
    assert kind == network_kind(_network.Path(folder))


def test_without_a_list_nothing_is_remote(mounts):
    """Where the kernel has no list of mounts, or a strange one, no folder counts as remote."""
    mounts.write_text("nonsense\n - \n")
    assert network_kind(_network.Path("/home")) is None
    mounts.unlink()
    assert network_kind(_network.Path("/home")) is None


def test_store_over_a_network_has_no_shared_memory(mounts, tmp_path, caplog):
    """A store on a network file system does without the write-ahead log, says so once, and has every span."""
    mounts.write_text(f"{MOUNTS}40 21 0:43 / {tmp_path} rw - nfs4 server:/home rw\n")
    exporter = Exporter(tmp_path / "home", options=ExportOptions(fsync_window=0))
    tracer = tracer_for(exporter)
    for _ in range(3):
        tracer.start_span("s").end()
        assert exporter.flush(20)
        exporter.store.close()
    assert 3 == len(exporter.store.spans())
    database = sqlite3.connect(exporter.store.path)
    assert ("delete",) == database.execute("PRAGMA journal_mode").fetchone()
    database.close()
    assert 1 == sum("network file system (nfs4)" in record.getMessage() for record in caplog.records)
    exporter.shutdown(5)
    assert 0 == exporter.health().unexplained
    exporter.store.close()
