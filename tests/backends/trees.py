"""The span trees that the stories leave, one line a span: its kind, its name, and ``!`` where it failed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def tree(spans: Iterable[dict[str, Any]]) -> list[str]:
    """Draw Phoenix's spans; one whose parent is not there is drawn as an orphan."""
    spans = sorted(spans, key=lambda span: span["start_time"])
    ids = {span["context"]["span_id"] for span in spans}
    assert len(ids) == len(spans)
    below: dict[str | None, list[dict[str, Any]]] = {}
    for span in spans:
        below.setdefault(span["parent_id"], []).append(span)
    lines = []

    def draw(span: dict[str, Any], depth: int) -> None:
        failed = "!" if span["status_code"] == "ERROR" else ""
        lines.append(f"{'  ' * depth}{span['span_kind']} {span['name']}{failed}")
        for child in below.get(span["context"]["span_id"], ()):
            draw(child, depth + 1)

    for root in below.get(None, ()):
        draw(root, 0)
    lines += [f"ORPHAN {span['name']}" for span in spans if span["parent_id"] not in {None, *ids}]
    return lines


def _lines(text: str) -> list[str]:
    return [line[4:].rstrip() for line in text.splitlines() if line.strip()]


TREES = {
    "langgraph": _lines("""
    AGENT guide
      CHAIN model
        LLM ChatOpenAI
      CHAIN tools
        TOOL weather
      CHAIN model
        LLM ChatOpenAI
    AGENT guide!
      CHAIN model
        LLM ChatOpenAI
      CHAIN tools!
        TOOL weather!
    AGENT guide
      CHAIN model
        LLM ChatOpenAI
    """),
    "pydantic_ai": _lines("""
    AGENT invoke_agent guide
      LLM chat gpt-4o-mini
      TOOL execute_tool weather
      LLM chat gpt-4o-mini
    AGENT invoke_agent guide!
      LLM chat gpt-4o-mini
      TOOL execute_tool weather!
    AGENT invoke_agent guide
      LLM chat gpt-4o-mini
    """),
    "openai_agents": _lines("""
    CHAIN Agent workflow
      CHAIN run Agent workflow
        AGENT guide
          CHAIN turn 1
            LLM response
            TOOL weather
          CHAIN turn 2
            LLM response
    CHAIN Agent workflow!
      CHAIN run Agent workflow!
        AGENT guide!
          CHAIN turn 1!
            LLM response
            TOOL weather!
    CHAIN Agent workflow
      CHAIN run Agent workflow
        AGENT guide
          CHAIN turn 1
            LLM response
    """),
    "mixed": _lines("""
    CHAIN travel desk
      CHAIN look_up
        RETRIEVER _Atlas
      CHAIN answer
        AGENT invoke_agent guide
          LLM chat gpt-4o-mini
          TOOL execute_tool measure
            CHAIN Agent workflow
              CHAIN run Agent workflow
                AGENT station
                  CHAIN turn 1
                    LLM response
                    TOOL weather
                  CHAIN turn 2
                    LLM response
          LLM chat gpt-4o-mini
    CHAIN travel desk!
      CHAIN look_up
        RETRIEVER _Atlas
      CHAIN answer!
        AGENT invoke_agent guide!
          LLM chat gpt-4o-mini
          TOOL execute_tool measure!
            CHAIN Agent workflow!
              CHAIN run Agent workflow!
                AGENT station!
                  CHAIN turn 1!
                    LLM response
                    TOOL weather!
    CHAIN travel desk
      CHAIN look_up
        RETRIEVER _Atlas
      CHAIN answer
        AGENT invoke_agent guide
          LLM chat gpt-4o-mini
    """),
}
