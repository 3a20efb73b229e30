"""Say in one line, or in full, what a span did."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from openinference.semconv.trace import SpanAttributes as Key
from rich.text import Text

from lucidic._records import StoredSession, StoredSpan
from lucidic._score_span import as_label, as_number
from lucidic._spans._attributes import CANCELLED, INCOMPLETE, STOPPED_EARLY
from lucidic._view import _content as content
from lucidic._view._speech import model_words
from lucidic._view._words import count, duration, one_line, safe


_WORDS: Final = {"LLM": "model"}
_STYLES: Final = {
    "AGENT": "bold magenta",
    "LLM": "bold cyan",
    "TOOL": "bold yellow",
    "RETRIEVER": "bold green",
    "RERANKER": "bold green",
    "EMBEDDING": "bold green",
    "GUARDRAIL": "bold blue",
    "EVALUATOR": "bold blue",
}
_MARKS: Final = {INCOMPLETE: "unfinished", CANCELLED: "cancelled", STOPPED_EARLY: "stopped early"}
_FIRST_TOKEN: Final = "First Token Stream Event"  # noqa: S105


def kind_word(span: StoredSpan) -> str:
    """Return the word for the span's kind: ``agent``, ``model``, ``tool``, …, ``span`` when it has none."""
    kind = content.kind(span)
    return _WORDS.get(kind, safe(kind.lower()) or "span")


def kind_style(span: StoredSpan) -> str:
    """Return the rich style of the span's kind."""
    return _STYLES.get(content.kind(span), "dim")


def headline(span: StoredSpan, via: tuple[str, ...] = ()) -> Text:
    """Return kind, name and figures of a span as one line, without its time."""
    line = Text(no_wrap=True, overflow="ellipsis")
    if span.status == "ERROR":
        line.append("✗ ", "bold red")
    line.append(kind_word(span), kind_style(span))
    line.append(" ")
    line.append_text(_subject(span))
    for key, word in _MARKS.items():
        if span.attributes.get(key):
            line.append(f"  {word}", "yellow")
    if via:
        line.append(f"  in {'/'.join(one_line(name, 40) for name in via)}", "dim")
    return line


def title(span: StoredSpan) -> str:
    """Return what the span is called: the agent, the model, the tool, or its own name."""
    named = {"LLM": content.model, "EMBEDDING": content.model, "TOOL": content.tool, "AGENT": content.agent}
    find = named.get(content.kind(span))
    return one_line((find(span) if find is not None else "") or span.name, 120)


def figures(span: StoredSpan) -> Iterator[str]:
    """Yield what a model call took: tokens, and the time to the first of them."""
    if content.kind(span) in {"LLM", "EMBEDDING"}:
        yield from _token_figures(content.tokens(span))
        yield from _first_token(span)


def _subject(span: StoredSpan) -> Text:
    kind = content.kind(span)
    if kind in {"LLM", "EMBEDDING"}:
        return Text(title(span)).append("".join(f" · {figure}" for figure in figures(span)), "dim")
    if kind == "TOOL":
        return call(content.tool(span), arguments(span))
    if kind == "AGENT":
        return Text(title(span))
    if kind == "RETRIEVER":
        query = content.text_of(span.attributes.get(Key.INPUT_VALUE))
        return Text(one_line(span.name, 80)).append(f" {_quoted(query)}" if query else "", "dim")
    return Text(one_line(span.name, 80), "dim" if kind in {"CHAIN", ""} else "")


def _token_figures(tokens: content.Tokens) -> Iterator[str]:
    if tokens.prompt:
        yield f"{tokens.prompt:,} in" + (f" ({tokens.cached:,} cached)" if tokens.cached else "")
    if tokens.completion:
        yield f"{tokens.completion:,} out" + (
            f" ({tokens.reasoning:,} reasoning)" if tokens.reasoning else ""
        )


def _first_token(span: StoredSpan) -> Iterator[str]:
    arrived = next((event.time_ns for event in span.events if event.name == _FIRST_TOKEN), None)
    if arrived is not None:
        yield f"first token {duration(arrived - span.start_ns)}"


def outcome(span: StoredSpan) -> Text | None:
    """Return what came out of a span as one line, or None when there is nothing to say."""
    kind = content.kind(span)
    if kind == "LLM":
        calls = [
            request
            for message in content.messages(span, Key.LLM_OUTPUT_MESSAGES)
            for request in message.tool_calls
        ]
        said = model_words(span)
        if calls:
            return Text(", ").join(call(request.name, request.arguments) for request in calls)
        return Text(one_line(said)) if said else None
    if kind == "RETRIEVER" and (found := content.documents(span)):
        titles = "; ".join(one_line(content.text_of(document.get("content")), 60) for document in found)
        return Text(f"{count(len(found), 'document')}: ").append(titles)
    if kind in {"TOOL", "AGENT", "RETRIEVER", "GUARDRAIL", "EVALUATOR"}:
        result = result_text(span)
        parsed = content.parsed(result) if "\\u" in result else None  # as a reader of JSON sees it
        return Text(one_line(content.text_of(parsed) or result)) if result else None
    return None


def score_lines(session: StoredSession) -> Iterator[str]:
    """Yield what was said of the whole session: name, value, why and by whom."""
    for score in session.scores:
        why = f" · {one_line(score.comment, 200)}" if score.comment else ""
        said = as_label(score.value) or f"{score.value:g}"
        who = "" if score.annotator_kind == "HUMAN" else f" · by {score.annotator_kind.lower()}"
        yield f"{one_line(score.name, 60)}: {one_line(said, 120)}{who}{why}"


def result_text(span: StoredSpan) -> str:
    """Return a span's output; of a tool message that was recorded whole, its content."""
    value = content.text_of(span.attributes.get(Key.OUTPUT_VALUE))
    whole = content.parsed(value)
    if isinstance(whole, dict) and "tool_call_id" in whole and isinstance(whole.get("content"), str):
        return str(whole["content"])
    return value


def arguments(span: StoredSpan) -> str:
    """Return the arguments of a tool call as they were recorded."""
    return content.first(span.attributes, Key.INPUT_VALUE, Key.TOOL_PARAMETERS, "gen_ai.tool.call.arguments")


def call(name: str, given: str) -> Text:
    """Return ``name(key="value", …)`` as one line."""
    line = Text(one_line(name, 80) + "(")
    values = content.parsed(given)
    if isinstance(values, dict):
        parts = [f"{one_line(key, 40)}={_shown(value)}" for key, value in values.items()]
        line.append(", ".join(parts), "dim")
    elif given:
        line.append(_quoted(given) if values is None else one_line(given), "dim")
    return line.append(")")


def _shown(value: Any) -> str:
    return _quoted(value) if isinstance(value, str) else one_line(json.dumps(value, ensure_ascii=False), 120)


def _quoted(text: str) -> str:
    return json.dumps(one_line(text, 120), ensure_ascii=False)


def folded(names: Sequence[str]) -> str:
    """Name the folded steps that had nothing inside, as one line."""
    times = Counter(names)
    listed = (one_line(name, 40) + (f" {number}x" if number > 1 else "") for name, number in times.items())
    return f"+ {count(len(names), 'step')}: {', '.join(listed)}"


def facts_of(session: StoredSession) -> Iterator[str]:
    """Yield what the program said of a session: user, tags, task and verdict."""
    fields = session.fields
    if user := content.text_of(fields.get("user_id")):
        yield f"user {one_line(user, 60)}"
    tags = fields.get("tags")
    if isinstance(tags, list) and tags:
        yield "tags " + ", ".join(one_line(content.text_of(tag), 40) for tag in tags)
    if task := content.text_of(fields.get("task")):
        yield f"task {one_line(task, 120)}"
    if isinstance(fields.get("is_successful"), bool):
        yield "successful" if fields["is_successful"] else "not successful"
    if reason := content.text_of(fields.get("is_successful_reason")):
        yield one_line(reason, 120)
    if (given := as_number(fields.get("session_eval"))) is not None:
        why = content.text_of(fields.get("session_eval_reason"))
        yield f"evaluation {given:g}" + (f" ({one_line(why, 120)})" if why else "")


def blocks(span: StoredSpan) -> Iterator[tuple[str, str]]:
    """Yield the whole content of a span as pairs of label and text."""
    kind = content.kind(span)
    attributes = span.attributes
    inputs = content.messages(span, Key.LLM_INPUT_MESSAGES)
    outputs = content.messages(span, Key.LLM_OUTPUT_MESSAGES)
    yield from settings(span)
    for message in inputs:
        yield message.role or "input", _whole(message)
    if not inputs and (
        given := arguments(span) if kind == "TOOL" else content.first(attributes, Key.INPUT_VALUE)
    ):
        yield "input", pretty(given)
    for message in outputs:
        yield "→ " + (message.role or "output"), _whole(message)
    found = content.documents(span)
    for document in found:
        yield "→ document", _document(document)
    if not outputs and not found and (result := result_text(span)):
        yield "→ output", pretty(result)


def settings(span: StoredSpan) -> Iterator[tuple[str, str]]:
    """Yield the settings of a model call, if they were recorded."""
    if text := content.text_of(span.attributes.get(Key.LLM_INVOCATION_PARAMETERS)):
        yield "settings", text


def _whole(message: content.Message) -> str:
    calls = [f"{request.name}({request.arguments})" for request in message.tool_calls]
    thought = f"[reasoning] {message.reasoning}" if message.reasoning else ""
    return "\n".join(filter(None, (thought, message.text, *calls)))


def _document(document: dict[str, Any]) -> str:
    about = [f"{key} {document[key]}" for key in ("id", "score", "metadata") if key in document]
    return "\n".join(filter(None, (" · ".join(about), content.text_of(document.get("content")))))


def pretty(value: str) -> str:
    """Return JSON indented, and everything else as it is."""
    parsed = content.parsed(value)
    try:
        return json.dumps(parsed, ensure_ascii=False, indent=2) if isinstance(parsed, (dict, list)) else value
    except RecursionError:
        return value
