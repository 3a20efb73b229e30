"""Show sessions: in a terminal, as JSON, in a notebook."""

from __future__ import annotations

from lucidic._view._reader import Reader


__all__ = ["Reader"]
