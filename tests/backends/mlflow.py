"""An MLflow tracking server: how it is started, and what its pages read of a session."""

from __future__ import annotations

import base64
import uuid
from pathlib import Path
from typing import Any

from .process import Backend


class MLflow(Backend):
    """A tracking server with SQLite, offline, listening on loopback only."""

    def __init__(self, python: Path, folder: Path) -> None:
        super().__init__(
            "mlflow",
            python,
            folder,
            {
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "DO_NOT_TRACK": "true",
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                # What `mlflow server --backend-store-uri … --default-artifact-root …` sets for its workers.
                "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder}/mlflow.db",
                "_MLFLOW_SERVER_ARTIFACT_ROOT": str(folder / "artifacts"),
            },
            healthy="/health",
        )

    def experiment(self) -> str:
        """Make an experiment and return its id."""
        made = self.post("/api/2.0/mlflow/experiments/create", {"name": f"tests {uuid.uuid4()}"})
        return str(made["experiment_id"])

    def session(self, experiment: str, session_id: str) -> list[dict[str, Any]]:
        """Return the traces of a session, by their start."""
        return self.traces(experiment, f"metadata.`mlflow.trace.session` = '{session_id}'")

    def traces(self, experiment: str, condition: str = "") -> list[dict[str, Any]]:
        """Return an experiment's traces, by their start."""
        asked = {
            "locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}],
            "filter": condition,
            "order_by": ["timestamp_ms ASC"],
            "max_results": 100,
        }
        found: list[dict[str, Any]] = self.post("/api/3.0/mlflow/traces/search", asked).get("traces", [])
        return found

    def spans(self, trace_id: str) -> list[tuple[str, dict[str, Any]]]:
        """Return the spans of a trace with their ids in hex digits."""
        read = self.get("/ajax-api/3.0/mlflow/get-trace-artifact", request_id=trace_id)
        return [(base64.b64decode(span["span_id"]).hex(), span) for span in read["spans"]]
