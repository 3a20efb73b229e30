"""Named points at which a test may kill the process.

``LUCIDIC_FAILPOINT=name`` or ``name:N`` kills the process with SIGKILL when it comes to that point (for the Nth
time). Without the variable a point is an empty function.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable


VARIABLE = "LUCIDIC_FAILPOINT"
NAMES = (
    "before-write",
    "after-write",
    "rotate",
    "import-before-commit",
    "import-after-commit",
    "deliver-before",
    "deliver-after",
    "cursor-before-write",
    "cursor-before-rename",
    "cursor-after-write",
    "close-orphan",
    "unlink",
)
"""Every point; the fault suite walks through all of them."""


def _nothing(name: str) -> None:
    del name


def _killing(wanted: str) -> Callable[[str], None]:
    target, _, number = wanted.partition(":")
    left = itertools.count(1)
    at = int(number or 1)

    def kill(name: str) -> None:
        if name == target and next(left) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    return kill


failpoint: Callable[[str], None] = _killing(os.environ[VARIABLE]) if VARIABLE in os.environ else _nothing
