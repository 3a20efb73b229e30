"""Two backends and the local store at once."""

from __future__ import annotations

import pytest

import lucidic as lai
from lucidic import sinks

from .process import replay
from .same import from_mlflow, from_phoenix, from_store
from .stories import STORIES, Mixed


@pytest.mark.parametrize("kind", STORIES, ids=lambda kind: kind.name)
def test_all_hold_the_same_spans(phoenix, mlflow, experiment, tell, stored, session_id, kind):
    """Phoenix, MLflow and the store have the same ids, names, times, errors, events and attributes, each span once."""
    lai.add_sink(sinks.otlp(phoenix.url))
    lai.add_sink(sinks.otlp(mlflow.url, headers={"x-mlflow-experiment-id": experiment}))
    tell(kind)
    kept = {span.span_id: span for span in stored(session_id)}
    in_phoenix = [from_phoenix(span) for span in phoenix.wait_for(session_id, len(kept))]
    in_mlflow = [
        from_mlflow(span, kept[span_id])
        for trace in mlflow.session(experiment, session_id)
        for span_id, span in mlflow.spans(trace["trace_id"])
    ]

    wanted = sorted((from_store(span) for span in kept.values()), key=lambda span: span["ids"])
    assert wanted == sorted(in_phoenix, key=lambda span: span["ids"])
    assert wanted == sorted(in_mlflow, key=lambda span: span["ids"])


def test_a_replay_is_the_same(phoenix, tell, stored, session_id):
    """What is replayed from the local store is, attribute for attribute, what would have been sent at once."""
    tell(Mixed)
    kept = stored(session_id)
    assert f"{len(kept)} spans delivered" in replay(session_id, phoenix.url)

    in_phoenix = [from_phoenix(span) for span in phoenix.wait_for(session_id, len(kept))]
    wanted = sorted((from_store(span) for span in kept), key=lambda span: span["ids"])
    assert wanted == sorted(in_phoenix, key=lambda span: span["ids"])
