"""OpenAI's embeddings on the wire (``POST /v1/embeddings``)."""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import Any, Final

from lucidic.testing._scripted_reply import Answer
from lucidic.testing._scripted_request import count_tokens


_DIMENSIONS: Final = 8


def body(answer: Answer) -> dict[str, Any]:
    """Return a vector for each text, made of the text alone: the same text has the same vector in every run.

    ``dimensions`` in the request sets the length of a vector, by default 8 numbers.
    """
    request = answer.request.body
    given = request.get("input", [])
    # A list of numbers is one text that was cut into tokens by the client.
    single = isinstance(given, str) or (bool(given) and isinstance(given[0], int))
    texts = [str(text) for text in ([given] if single else given)]
    size = request.get("dimensions") or _DIMENSIONS
    vectors = [_vector(text, size) for text in texts]
    packed = request.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if packed else vector}
        for index, vector in enumerate(vectors)
    ]
    tokens = answer.reply.usage.prompt if answer.reply.usage else sum(count_tokens(text) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": answer.model, "usage": usage}


def _vector(text: str, size: int) -> list[float]:
    """Return ``size`` numbers between -1 and 1 that 32-bit floats hold exactly."""
    digest = hashlib.shake_256(text.encode()).digest(size)
    return [(byte - 128) / 128 for byte in digest]


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
