"""Spans that a sink refused for good, kept beside the journal and in its format."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lucidic._export._payload import SpanEntry, pack_entry, pack_origin_record
from lucidic._export._segment import FORMAT_VERSION, SPAN, Segment, owner_key, owner_label
from lucidic._export._sink import Batch


FOLDER: Final = "quarantine"


def quarantine(spool: Path, sink: str, refused: Sequence[tuple[SpanEntry, str]], batch: Batch) -> None:
    """Write refused spans with the first reason given.

    Raises:
        OSError: The folder cannot be written.
    """
    pid = os.getpid()
    header = {
        "version": FORMAT_VERSION,
        "owner": owner_key(pid),
        "label": owner_label(pid),
        "sinks": [],
        "refused_by": sink,
        "reason": refused[0][1],
    }
    segment = Segment(spool / FOLDER, json.dumps(header).encode())
    for entry, _reason in refused:
        known = entry.origin in segment.origins
        first = b"" if known else pack_origin_record(batch.origin(entry))
        segment.append(SPAN, pack_entry(entry), first=first)
        segment.origins.add(entry.origin)
    segment.sync()
