"""Errors in each provider's format."""

from __future__ import annotations

from typing import Any, Final

from lucidic.testing._scripted_reply import Answer


_OPENAI: Final = {
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("invalid_request_error", "unsupported_country_region_territory", "Access is not allowed."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached."),
}
_ANTHROPIC: Final = {
    401: ("authentication_error", "invalid x-api-key"),
    403: ("permission_error", "Access is not allowed."),
    404: ("not_found_error", "The model does not exist."),
    413: ("request_too_large", "The request is too large."),
    429: ("rate_limit_error", "Rate limit reached."),
    529: ("overloaded_error", "Overloaded"),
}


def openai_body(answer: Answer) -> dict[str, Any]:
    """Return the body that goes with the reply's status, in OpenAI's format."""
    status = answer.reply.status
    fallback = (
        ("invalid_request_error", None, "The request is invalid.")
        if status < 500
        else ("server_error", None, "The server had an error while processing your request.")
    )
    kind, code, message = _OPENAI.get(status, fallback)
    return {"error": {"message": message, "type": kind, "param": None, "code": code} | _given(answer)}


def anthropic_body(answer: Answer) -> dict[str, Any]:
    """Return the body that goes with the reply's status, in Anthropic's format."""
    status = answer.reply.status
    fallback = (
        ("invalid_request_error", "The request is invalid.")
        if status < 500
        else ("api_error", "Internal server error")
    )
    kind, message = _ANTHROPIC.get(status, fallback)
    error = {"type": kind, "message": message} | _given(answer)
    return {"type": "error", "error": error, "request_id": f"req_{answer.ident}"}


def headers(answer: Answer) -> dict[str, str]:
    """Return the headers that an error carries; a client that is told to slow down may retry in a second."""
    return {"retry-after": "1"} if answer.reply.status == 429 else {}


def _given(answer: Answer) -> dict[str, Any]:
    error = answer.reply.error
    if error is None:
        return {}
    return {"message": error} if isinstance(error, str) else dict(error)
