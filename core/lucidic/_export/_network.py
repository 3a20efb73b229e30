"""Telling a folder on a network file system: SQLite's write-ahead log does not work there across hosts."""

from __future__ import annotations

import contextlib
import logging
import re
from pathlib import Path
from typing import Final


logger = logging.getLogger("lucidic.export")

MOUNTS: Path = Path("/proc/self/mountinfo")
_NETWORK: Final = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|9p|ceph|lustre|afs|gfs2?|glusterfs|beegfs|fuse\.(?!ext|ntfs).+"
)
_warned: set[Path] = set()
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def network_kind(folder: Path) -> str | None:
    """Return the type of the network file system that a folder is on, or None; the folder need not exist.

    Read from the kernel's list of mounts (proc(5)); where there is none, no folder counts as remote.
    """
    best, kind = -1, ""
    with contextlib.suppress(OSError, ValueError, IndexError):
        at = folder.resolve()
        for line in MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            left, _, right = line.partition(" - ")
            point = Path(_ESCAPED.sub(lambda found: chr(int(found[1], 8)), left.split()[4]))
            # Of two mounts on one point the later one is seen.
            if len(point.parts) >= best and at.is_relative_to(point):
                best, kind = len(point.parts), right.split()[0]
    return kind if _NETWORK.fullmatch(kind) else None


def warn_once(folder: Path) -> None:
    """Say once that a folder is on a network file system, if it is."""
    kind = network_kind(folder) if folder not in _warned else None
    if kind is not None:
        _warned.add(folder)
        logger.warning(
            "%s is on a network file system (%s): the local store is slower there. "
            "Set LUCIDIC_HOME to a folder of this machine.",
            folder,
            kind,
        )
