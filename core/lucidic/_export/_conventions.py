"""What spans carry beside OpenInference, for backends that group by keys of their own.

Written on the way to a destination and nowhere else: what is kept stays in one format, each destination gets its
own aliases, spans of earlier processes get them too, and whoever asks for none pays nothing. The values come from
attributes that were masked before they were written, so nothing hidden comes back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from openinference.semconv.trace import OpenInferenceSpanKindValues as Kind
from openinference.semconv.trace import SpanAttributes as Key

from lucidic._config import check_conventions
from lucidic._export._decode import SpanScan, decode_pair, raw_fields, scan_span
from lucidic._export._encode import encode_attributes
from lucidic._export._hosted_llm import input_messages, output_messages
from lucidic._export._hosted_nest import pick_json
from lucidic._export._payload import SpanEntry
from lucidic._guard import guarded
from lucidic._score_span import PREFIX


Aliases = dict[str, Any]

_ATTRIBUTE: Final = b"\x4a"
_REMOTE_PARENT: Final = 0x200
"""A bit of an OTLP span's flags: its parent is in another process."""
_CONVERSATION_ID: Final = "gen_ai.conversation.id"
LANGFUSE_LIMIT: Final = 199
"""Longer ids of sessions and users, and those that are not ASCII, Langfuse drops."""
MLFLOW_LIMIT: Final = 250
"""A longer session id makes MLflow refuse the whole request."""
_READ: Final = frozenset(
    key.encode()
    for key in (
        Key.SESSION_ID,
        Key.USER_ID,
        Key.TAG_TAGS,
        Key.METADATA,
        Key.OPENINFERENCE_SPAN_KIND,
        Key.LLM_SYSTEM,
        Key.LLM_COST_TOTAL,
        Key.TOOL_NAME,
        Key.INPUT_VALUE,
        Key.OUTPUT_VALUE,
    )
)
"""What aliases are made of; nothing else is decoded for them."""
_INPUT: Final = Key.INPUT_VALUE.encode()
_SCORE: Final = f"{PREFIX}name".encode()
_OUTPUT: Final = Key.OUTPUT_VALUE.encode()
_TASKS: Final[Mapping[str, str]] = {
    Kind.AGENT.value: "agent",
    Kind.TOOL.value: "tool",
    Kind.CHAIN.value: "task",
    Kind.RETRIEVER.value: "task",
    Kind.RERANKER.value: "task",
    Kind.GUARDRAIL.value: "task",
}
"""Kinds in Traceloop's words; its model calls have none."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a span says, as far as aliases are made of it."""

    name: str
    attributes: Mapping[str, Any]
    is_turn: bool
    """It is the first span of its trace, or of its trace's part in this process."""

    @property
    def session_id(self) -> str | None:
        """The session."""
        return self._text(Key.SESSION_ID)

    @property
    def user_id(self) -> str | None:
        """The user."""
        return self._text(Key.USER_ID)

    @property
    def kind(self) -> str | None:
        """OpenInference's kind; None for spans that are not OpenInference's."""
        return self._text(Key.OPENINFERENCE_SPAN_KIND)

    @property
    def tags(self) -> list[str]:
        """What ``tag.tags`` holds."""
        found = pick_json(self.attributes.get(Key.TAG_TAGS))
        return [str(tag) for tag in found] if isinstance(found, list) else []

    @property
    def metadata(self) -> dict[str, Any]:
        """The object that ``metadata`` holds; its own objects and lists as JSON."""
        found = pick_json(self.attributes.get(Key.METADATA))
        if not isinstance(found, dict):
            return {}
        return {key: _scalar(value) for key, value in found.items() if value is not None}

    def _text(self, key: str) -> str | None:
        value = self.attributes.get(key)
        return value if isinstance(value, str) and value else None


def _scalar(value: object) -> object:
    return value if isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False)


def _langfuse(span: Told) -> Aliases:
    found: Aliases = {
        "langfuse.session.id": fit(span.session_id, LANGFUSE_LIMIT, ascii_only=True),
        "langfuse.user.id": fit(span.user_id, LANGFUSE_LIMIT, ascii_only=True),
        "langfuse.trace.tags": span.tags,
    }
    found |= {f"langfuse.trace.metadata.{key}": value for key, value in span.metadata.items()}
    if span.is_turn:
        found["langfuse.trace.name"] = span.name
    if span.kind == Kind.LLM.value:
        found |= _both_sides(span.attributes)
    return found


def _both_sides(attributes: Mapping[str, Any]) -> Aliases:
    """Return input and output of a model call together: Langfuse takes both from the first family with either."""
    values = [attributes.get(key) for key in (Key.INPUT_VALUE, Key.OUTPUT_VALUE)]
    if (values[0] is None) == (values[1] is None):
        return {}
    messages = input_messages(attributes), output_messages(attributes)
    sides = [
        value if value is not None else json.dumps(said, ensure_ascii=False) if said else None
        for value, said in zip(values, messages, strict=True)
    ]
    return {"langfuse.observation.input": sides[0], "langfuse.observation.output": sides[1]}


def _langsmith(span: Told) -> Aliases:
    found: Aliases = {f"langsmith.metadata.{key}": value for key, value in span.metadata.items()}
    found |= {
        "langsmith.metadata.session_id": span.session_id,
        "langsmith.metadata.user_id": span.user_id,
        "langsmith.span.tags": ",".join(span.tags),
        "gen_ai.system": span.attributes.get(Key.LLM_SYSTEM),
    }
    if span.is_turn:
        found["langsmith.trace.name"] = span.name
    return found


def _logfire(span: Told) -> Aliases:
    return {
        "gen_ai.system": span.attributes.get(Key.LLM_SYSTEM),
        "operation.cost": span.attributes.get(Key.LLM_COST_TOTAL),
        "logfire.tags": span.tags,
    }


def _weave(span: Told) -> Aliases:
    if span.session_id is None:
        return {}
    found: Aliases = {"wandb.thread_id": span.session_id}
    if span.is_turn:
        found["wandb.is_turn"] = True
    return found


def _opik(span: Told) -> Aliases:
    found: Aliases = {f"opik.metadata.{key}": value for key, value in span.metadata.items()}
    if span.user_id is not None:
        found.setdefault("opik.metadata.user_id", span.user_id)
    if span.tags:
        found["opik.tags"] = json.dumps(span.tags, ensure_ascii=False)
    return {**found, "thread_id": span.session_id}


def _traceloop(span: Told) -> Aliases:
    prefix = "traceloop.association.properties."
    found: Aliases = {f"{prefix}{key}": value for key, value in span.metadata.items()}
    found |= {f"{prefix}session_id": span.session_id, f"{prefix}user_id": span.user_id}
    if span.tags:
        found[f"{prefix}tags"] = json.dumps(span.tags, ensure_ascii=False)
    if (task := _TASKS.get(span.kind or "")) is not None:
        found |= {
            "traceloop.span.kind": "workflow" if span.is_turn else task,
            "traceloop.entity.name": span.attributes.get(Key.TOOL_NAME) or span.name,
            "traceloop.entity.input": span.attributes.get(Key.INPUT_VALUE),
            "traceloop.entity.output": span.attributes.get(Key.OUTPUT_VALUE),
        }
        if span.is_turn:
            found["traceloop.workflow.name"] = span.name
    return found


def _datadog(span: Told) -> Aliases:
    # Session, user, tags and metadata it reads as they are; whether a trace is one of agents, it wants to be told.
    return {} if span.kind is None else {"dd_llmobs_enabled": True}


def _nothing(_span: Told) -> Aliases:
    return {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Convention:
    """What a backend reads."""

    aliases: Callable[[Told], Aliases] = _nothing
    gen_ai: bool = False
    """It reads OpenTelemetry's ``gen_ai.*``, too, or nothing else."""
    session_limit: int | None = None
    """Characters of ``session.id`` beyond which it loses data."""


CONVENTIONS: Final[Mapping[str, Convention]] = {
    "langfuse": Convention(aliases=_langfuse),
    "langsmith": Convention(aliases=_langsmith),
    "logfire": Convention(aliases=_logfire, gen_ai=True),
    "weave": Convention(aliases=_weave),
    "opik": Convention(aliases=_opik),
    "traceloop": Convention(aliases=_traceloop, gen_ai=True),
    "datadog": Convention(aliases=_datadog, gen_ai=True),
    "mlflow": Convention(session_limit=MLFLOW_LIMIT),
    "gen_ai": Convention(gen_ai=True),
}
"""By the names of ``lucidic._config.CONVENTIONS``."""


def fit(text: str | None, limit: int, *, ascii_only: bool = False) -> str | None:
    """Return an id as a backend takes it: always the same for one id, and different for different ones.

    What is not ASCII is percent-encoded; what is too long ends in a digest of the whole.
    """
    if text is None:
        return None
    plain = "".join(each if each.isascii() else quote(each) for each in text) if ascii_only else text
    if len(plain) <= limit:
        return plain
    digest = hashlib.blake2s(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
    return f"{plain[: limit - len(digest) - 1]}-{digest}"


class Dialect:
    """Several conventions at once, for one destination.

    Raises:
        ConfigurationError: There is no such convention.
    """

    def __init__(self, names: Collection[str]) -> None:
        self.names = check_conventions(names)
        chosen = [CONVENTIONS[name] for name in self.names]
        self._aliases = [each.aliases for each in chosen if each.aliases is not _nothing]
        self._gen_ai = any(each.gen_ai for each in chosen)
        self._limit = min((each.session_limit for each in chosen if each.session_limit), default=None)

    def __call__(self, entry: SpanEntry) -> SpanEntry:
        """Return a span with what this destination reads; what the span says itself stays as it is."""
        if not (self._aliases or self._gen_ai):
            return entry if self._limit is None else shorten_session(entry, self._limit)
        with guarded("conventions"):
            scan = scan_span(entry.data)
            # Messages are read where they are translated, or stand in for a side that is missing.
            one_sided = (_INPUT in scan.pairs) != (_OUTPUT in scan.pairs)
            keys = scan.pairs if self._gen_ai or one_sided else scan.pairs.keys() & _READ
            told = Told(
                scan.name,
                dict(decode_pair(entry.data[slice(*scan.pairs[key])]) for key in keys),
                is_turn=_is_turn(scan),
            )
            found: Aliases = {}
            if self._gen_ai:
                from lucidic._export._conventions_genai import gen_ai_attributes

                found |= gen_ai_attributes(told.attributes, is_turn=told.is_turn)
            for aliases in self._aliases:
                found |= aliases(told)
            added = {
                key: value
                for key, value in found.items()
                if value is not None and value not in ("", []) and key.encode() not in scan.pairs
            }
            entry = entry._replace(data=entry.data + encode_attributes(added, _ATTRIBUTE))
            if self._limit is not None:
                entry = shorten_session(entry, self._limit)
        return entry


def _is_turn(scan: SpanScan) -> bool:
    is_first = not scan.has_parent or bool(scan.flags & _REMOTE_PARENT)
    return is_first and _SCORE not in scan.pairs


def shorten_session(entry: SpanEntry, limit: int) -> SpanEntry:
    """Shorten the keys that name the session to others, where they are longer than that; ours stays whole."""
    if entry.session_id is None or len(entry.session_id) <= limit:
        return entry
    parts = []
    for number, raw, value in raw_fields(entry.data):
        if number == 9:
            key, content = decode_pair(value)
            if key in (Key.SESSION_ID, _CONVERSATION_ID) and isinstance(content, str):
                parts.append(encode_attributes({key: fit(content, limit)}, _ATTRIBUTE))
                continue
        parts.append(raw)
    return entry._replace(data=b"".join(parts))


def conventions_of(endpoint: str, headers: Collection[str]) -> tuple[str, ...]:
    """Return the conventions that an OTLP address speaks, as far as it shows.

    Args:
        endpoint: The full address.
        headers: The names of the headers that go there, in lower case.
    """
    parts = urlsplit(endpoint)
    host, path = parts.hostname or "", parts.path
    if "x-mlflow-experiment-id" in headers:
        return ("mlflow",)
    if "dd-api-key" in headers or ".datadoghq." in f".{host}.":
        return ("datadog",)
    if "/api/v1/private/otel" in path:
        return ("opik",)
    if "/api/public/otel" in path:
        return ("langfuse",)
    return tuple(name for name, ends in _HOSTS.items() if host.endswith(ends))


_HOSTS: Final[Mapping[str, tuple[str, ...]]] = {
    "langsmith": ("smith.langchain.com",),
    "logfire": ("pydantic.dev", "pydantic.info"),
    "weave": ("trace.wandb.ai", ".wandb.io"),
    "traceloop": ("api.traceloop.com",),
}
