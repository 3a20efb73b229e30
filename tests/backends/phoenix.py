"""Phoenix: how it is started, and what its page of a session shows, read by the queries that the page uses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .process import Backend


SESSION = """
query ($id: ID!) {
  node(id: $id) {
    ... on ProjectSession {
      sessionId userId numTraces numTracesWithError project { name }
      firstInput { value mimeType } lastOutput { value mimeType }
      tokenUsage { prompt completion total }
      costSummary { total { cost } }
      sessionAnnotations { name label score explanation }
      traces(first: 50) { edges { node {
        traceId costSummary { total { cost } }
        rootSpan { name spanKind input { value mimeType } output { value mimeType } statusCode attributes }
      } } }
    }
  }
}
"""


class Phoenix(Backend):
    """A Phoenix with SQLite, offline, listening on loopback only."""

    def __init__(self, python: Path, folder: Path) -> None:
        super().__init__(
            "phoenix",
            python,
            folder,
            {
                "PHOENIX_WORKING_DIR": str(folder),
                "PHOENIX_HOST": "127.0.0.1",
                "PHOENIX_TELEMETRY_ENABLED": "false",
                "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
                "PHOENIX_DISABLE_AGENT_ASSISTANT": "true",
                "PHOENIX_ENABLE_MCP_SERVER": "false",
                "PHOENIX_LOG_MIGRATIONS": "false",
            },
            healthy="/healthz",
        )

    def start(self, **variables: str) -> None:
        super().start(PHOENIX_PORT=str(self.port), **variables)

    def spans(self, session_id: str, project: str = "default") -> list[dict[str, Any]]:
        """Return the spans that carry a session's id, by their start."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            answer = self.http.get(
                f"/v1/projects/{project}/spans",
                params={"attribute": f"session.id:{session_id}", "limit": 1000, **cursor},
            )
            if answer.status_code == 404:
                return []  # the project begins with its first span
            assert answer.is_success, answer.text
            page = answer.json()
            found += page["data"]
            if not page["next_cursor"]:
                return sorted(found, key=lambda span: span["start_time"])
            cursor = {"cursor": page["next_cursor"]}

    def wait_for(self, session_id: str, count: int, project: str = "default") -> list[dict[str, Any]]:
        """Return the spans of a session once there are that many."""
        return self.until(lambda: len(found := self.spans(session_id, project)) >= count and found)

    def session_ids(self, project: str = "default") -> set[str]:
        """Return the sessions of the list."""
        page = self.get(f"/v1/projects/{project}/sessions", limit=1000)
        return {each["session_id"] for each in page["data"]}

    def session(self, session_id: str) -> dict[str, Any] | None:
        """Return what the list of sessions and the page of a session show."""
        answer = self.http.get(f"/v1/sessions/{session_id}")
        if answer.status_code == 404:
            return None
        assert answer.is_success, answer.text
        asked = {"query": SESSION, "variables": {"id": answer.json()["data"]["id"]}}
        told = self.post("/graphql", asked)
        assert "errors" not in told, told
        found: dict[str, Any] = told["data"]["node"]
        found["traces"] = [edge["node"] for edge in found["traces"]["edges"]]
        return found
