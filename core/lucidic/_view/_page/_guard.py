"""Who may read the page: nobody but this machine, or whoever has the token."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send


LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_COOKIE: Final = "lucidic_token"
_POLICY: Final = (
    # Session content is foreign: nothing of it may run, load, frame or be sent anywhere.
    b"default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self'; connect-src 'self'; img-src data:; "
    b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


class PageGuard:
    """Check the host and, where one is set, the token; add the security headers to every answer.

    Only known host names are answered: a foreign site whose name resolves to this machine (DNS rebinding)
    would otherwise read the page with the visitor's browser.

    Args:
        app: The page.
        hosts: The host names that are answered.
        token: Wanted in the query as ``token=`` once, and in a cookie from then on; None for none.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str] = LOOPBACK, token: str | None = None) -> None:
        self._app = app
        self._hosts = {host.lower() for host in hosts}
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if "*" not in self._hosts and host_name(headers.get(b"host", "")) not in self._hosts:
            return PlainTextResponse("This host name is not served here.", status_code=421)
        if scope["method"] not in {"GET", "HEAD"}:
            return PlainTextResponse("The page only reads.", status_code=405)
        if self._token is None or self._is_token(_cookie(headers.get(b"cookie", ""))):
            return None
        query = parse_qs(scope["query_string"].decode("latin-1"))
        given = query.pop("token", [""])[0]
        if not self._is_token(given):
            return PlainTextResponse(
                "Open the address with the token that `lucidic view` printed.", status_code=401
            )
        # The token leaves the address bar, the history and any screenshot.
        place = f"/{scope['path'].lstrip('/')}?{urlencode(query, doseq=True)}"
        answer = RedirectResponse(place, status_code=303)
        answer.set_cookie(_COOKIE, given, httponly=True, samesite="strict")
        return answer

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), (self._token or "").encode())


def host_name(header: str) -> str:
    """Return the name in a ``Host`` header, without port and brackets."""
    try:
        return (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return ""


def _cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(_COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None else ""
