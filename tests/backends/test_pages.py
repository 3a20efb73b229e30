"""The how-to pages do what they say, with the servers that they name."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import lucidic as lai


DOCS = Path(__file__).parents[2] / "docs" / "how-to"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def run(page, named, url):
    """Run a page's blocks with its server at another address; return their names."""
    space = {"__name__": "page"}
    for code in BLOCK.findall((DOCS / page).read_text()):
        assert named in code
        exec(compile(code.replace(named, url), page, "exec"), space)
    assert lai.flush(60)
    return space


def test_the_page_about_phoenix(phoenix, capsys):
    """Its session is in the project that it names, with its user, at the address that it prints."""
    session_id = run("phoenix.md", "http://localhost:6006", phoenix.url)["session_id"]
    phoenix.wait_for(session_id, 1, "shop")
    answer = phoenix.http.get(capsys.readouterr().out.strip())

    assert session_id == answer.json()["data"]["session_id"]
    assert "user-7" == phoenix.session(session_id)["userId"]


def test_the_page_about_mlflow(mlflow):
    """Its session is in the experiment that it names, with its user."""
    session_id = run("mlflow.md", "http://localhost:5000", mlflow.url)["session_id"]
    (seen,) = mlflow.session("0", session_id)

    assert "user-7" == seen["trace_metadata"]["mlflow.trace.user"]


@pytest.mark.parametrize("headers", ["", "x-mlflow-experiment-id=999999"], ids=["none", "unknown"])
def test_a_missing_experiment_loses_nothing(mlflow, experiment, session_id, monkeypatch, headers):
    """Spans that MLflow refuses because no experiment is named wait for the right header, however few they are."""
    monkeypatch.setenv("LUCIDIC_OTLP_ENDPOINT", mlflow.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", headers)
    with lai.session(session_id=session_id):
        lai.create_step(state="begun", action="look")
        lai.end_step()
    assert not lai.flush(20)
    assert ["paused"] == [sink.state for sink in lai.health().sinks if sink.name.startswith("otlp")]
    lai.shutdown(5)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"x-mlflow-experiment-id={experiment}")
    lai.init()

    assert lai.flush(60)
    (seen,) = mlflow.session(experiment, session_id)
    assert 1 == len(mlflow.spans(seen["trace_id"]))


def test_a_file_of_spans_can_be_posted_to_mlflow(mlflow, experiment, session_id, tmp_path, monkeypatch):
    """A line of the JSON-lines file is a request that MLflow takes as it is."""
    monkeypatch.setenv("LUCIDIC_JSONL", str(tmp_path / "spans.jsonl"))
    with lai.session(session_id=session_id):
        lai.create_step(state="begun", action="look", goal="naïve 小林 \u2028")
        lai.end_step()
    assert lai.flush(20)
    lines = (tmp_path / "spans.jsonl").read_text().split("\n")
    for line in filter(None, lines):
        assert json.loads(line)["resourceSpans"]
        answer = mlflow.http.post(
            "/v1/traces",
            content=line.encode(),
            headers={"content-type": "application/json", "x-mlflow-experiment-id": experiment},
        )
        assert answer.is_success, answer.text

    (seen,) = mlflow.session(experiment, session_id)
    assert "OK" == seen["state"]
