"""What users need to test their own agents and their traces."""

from __future__ import annotations

from lucidic.testing._capture import CapturedSpans, capture_spans, session_id_of


__all__ = ["CapturedSpans", "capture_spans", "session_id_of"]
