"""A session as a table."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from lucidic._records import StoredSpan
from lucidic.errors import MissingDependencyError


if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped,unused-ignore]  # typed only where stubs are installed


def to_dataframe(session_id: str | None = None) -> pd.DataFrame:
    """Return the spans of a session as a pandas DataFrame, a row for each span, in order of their start.

    Columns: ``trace_id``, ``span_id``, ``parent_span_id``, ``session_id``, ``name``, ``kind`` (OpenInference's),
    ``status``, ``status_message``, ``start`` and ``end`` (UTC), ``duration_ms``, and ``attributes.<key>`` for
    each attribute that a span of the session has.

    Args:
        session_id: The session; default all spans of the local store, those without a session included.

    Raises:
        MissingDependencyError: pandas is not installed.
        StoreError: The local store cannot be read.

    """
    try:
        import pandas as pd  # type: ignore[import-untyped,unused-ignore]  # as above
    except ImportError as error:
        raise MissingDependencyError("pandas", "pandas") from error
    from lucidic._export import Store
    from lucidic._runtime import runtime

    with closing(Store(runtime().settings.home)) as store:
        store.catch_up()
        frame = pd.DataFrame([_row(span) for span in store.spans(session_id)])
    if not frame.empty:
        for name in ("start", "end"):
            frame[name] = pd.to_datetime(frame[name], utc=True, unit="ns")
    return frame


def _row(span: StoredSpan) -> dict[str, Any]:
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
        "session_id": span.session_id,
        "name": span.name,
        "kind": span.attributes.get("openinference.span.kind"),
        "status": span.status,
        "status_message": span.status_message,
        "start": span.start_ns,
        "end": span.end_ns,
        "duration_ms": (span.end_ns - span.start_ns) / 1e6,
        **{f"attributes.{key}": value for key, value in span.attributes.items()},
    }
