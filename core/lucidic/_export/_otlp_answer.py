"""Telling an OTLP answer from anything else that a network may answer with."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lucidic._export._decode import fields


_TEXT_LIMIT: Final = 200
_DECODED_LIMIT: Final = 64 * 1024
_PARTIAL: Final = frozenset({"partialSuccess", "partial_success"})


@dataclass(frozen=True, slots=True)
class Answered:
    """What an answer says."""

    accepted: bool
    rejected: int = 0
    message: str = ""


def read_answer(status: int, headers: Mapping[str, str], body: bytes) -> Answered:
    """Read an answer; a 2xx alone is no acknowledgement, because proxies and captive portals answer so, too.

    An answer in JSON counts as well if it is an ``ExportTraceServiceResponse``: some servers answer a protobuf
    request with ``{}``.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    plain = _plain(body, headers.get("content-encoding", ""))
    if not 200 <= status < 300:
        return Answered(accepted=False, message=_reason(kind, plain))
    try:
        if kind == "application/x-protobuf":
            return _protobuf(plain)
        if kind == "application/json":
            return _json(plain)
    except (ValueError, IndexError, TypeError, AttributeError):
        return Answered(accepted=False, message="The answer is not an OTLP answer.")
    return Answered(accepted=False, message=f"The answer is {kind or 'of no type'} and not OTLP.")


def _plain(body: bytes, encoding: str) -> bytes:
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return body
    try:
        # Never more than the limit, however much a small body may hold.
        return zlib.decompressobj(wbits=47).decompress(body, _DECODED_LIMIT)
    except zlib.error:
        return b""


def _protobuf(body: bytes) -> Answered:
    rejected, message = 0, ""
    for number, value in fields(body):
        if number == 1:
            for inner, content in fields(value):
                if inner == 1:
                    rejected = int(content)
                elif inner == 2:
                    message = content.decode("utf-8", "replace")
    return Answered(accepted=True, rejected=rejected, message=message[:_TEXT_LIMIT])


def _json(body: bytes) -> Answered:
    content = json.loads(body)
    if not isinstance(content, dict) or content.keys() - _PARTIAL:
        raise ValueError("not an ExportTraceServiceResponse")
    partial = next(iter(content.values()), None) or {}
    rejected = int(partial.get("rejectedSpans", partial.get("rejected_spans", 0)) or 0)
    message = str(partial.get("errorMessage", partial.get("error_message", "")) or "")
    return Answered(accepted=True, rejected=rejected, message=message[:_TEXT_LIMIT])


def _reason(kind: str, body: bytes) -> str:
    """Read the message of a refusal: a ``google.rpc.Status``, or the beginning of a text."""
    if kind == "application/x-protobuf":
        try:
            texts = [value.decode("utf-8", "replace") for number, value in fields(body) if number == 2]
        except (ValueError, IndexError, AttributeError):
            texts = []
        return texts[0][:_TEXT_LIMIT] if texts else ""
    if kind.startswith("text/html"):
        return ""
    return " ".join(body[:_TEXT_LIMIT].decode("utf-8", "replace").split())
