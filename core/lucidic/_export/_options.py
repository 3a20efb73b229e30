"""The limits and times of the exporter."""

from __future__ import annotations

from dataclasses import dataclass


_MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportOptions:
    """What the exporter may use and how long it waits; every default suits a laptop and a server alike."""

    store: bool = True
    """Whether the local store is one of the sinks."""
    spool_bytes: int = 512 * _MIB
    """Most bytes of all segments in the folder; beyond, the oldest segment is dropped and counted."""
    spool_age: float = 7 * 24 * 3600.0
    """Seconds after which a segment that no sink has taken is dropped and counted."""
    segment_bytes: int = 8 * _MIB
    """Bytes after which a process starts its next segment."""
    span_bytes: int = 5 * _MIB
    """Most bytes of one span; beyond, its longest attributes are cut and it says so."""
    memory_bytes: int = 16 * _MIB
    """Most bytes kept in memory while the folder cannot be written; beyond, the oldest records are dropped
    and counted."""
    linger: float = 0.2
    """Seconds that a batch may wait for more spans."""
    batch_spans: int = 512
    """Spans of a batch that is sent without waiting."""
    batch_bytes: int = _MIB
    """Bytes of a batch that is sent without waiting."""
    fsync_window: float = 0.5
    """Seconds of spans that a power failure may cost; a killed process costs none. 0 never asks the disk."""
    fsync_always: bool = False
    """Whether the disk is asked for each span and session before its end returns: a power failure costs none then."""
    request_timeout: float = 10.0
    """Seconds that one delivery to a sink may take."""
    exit_budget: float = 2.0
    """Seconds that everything at the process's exit may take together."""
    grace: float = 15 * 60.0
    """Seconds that a segment is kept after the last sink has acknowledged it, for a replay."""
    poll: float = 1.0
    """Seconds between two looks at the other processes' segments, while this process has nothing to do."""
