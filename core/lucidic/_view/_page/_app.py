"""The page as a Starlette application: server-rendered, with server-sent events for what changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from importlib.resources import files
from typing import Any, Final, cast

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from lucidic._records import SessionState
from lucidic._view import _html
from lucidic._view._page import _pages
from lucidic._view._page._guard import LOOPBACK, PageGuard
from lucidic._view._reader import Reader
from lucidic._view._tree import turns
from lucidic.errors import StoreError


_PAGE_SESSIONS: Final = 50
_PAGE_TURNS: Final = 50
_LOOK_EVERY_S: Final = 0.5
_HEARTBEAT_LOOKS: Final = 30
"""Looks without news after which a comment keeps proxies and browsers from giving up: 15 seconds."""


def make_app(
    reader: Reader,
    *,
    hosts: Iterable[str] = LOOPBACK,
    token: str | None = None,
    sleep: Callable[[float], Any] = asyncio.sleep,
) -> Starlette:
    """Return the page over a store.

    Args:
        reader: The store; called from worker threads.
        hosts: The host names that are answered.
        token: What a visitor has to know; None for no token.
        sleep: Waits between two looks at the store (for tests).
    """
    page = _Page(reader, sleep)
    routes = [
        Route("/", page.sessions),
        Route("/session", page.session),
        Route("/span", page.span),
        Route("/export", page.export),
        Route("/events", page.events),
        Route("/page.js", page.script),
    ]
    guard = Middleware(PageGuard, hosts=tuple(hosts), token=token)
    return Starlette(routes=routes, middleware=[guard], exception_handlers={StoreError: _unreadable})


def _unreadable(_: Request, error: Exception) -> Response:
    return HTMLResponse(
        _pages.frame("Unreadable", f"<h1>Unreadable</h1><p>{_html.escaped(str(error))}</p>"), 503
    )


class _Page:
    """The answers. The plain functions run in worker threads, because the store blocks."""

    def __init__(self, reader: Reader, sleep: Callable[[float], Any]) -> None:
        self._reader = reader
        self._sleep = sleep

    def sessions(self, request: Request) -> Response:
        given = request.query_params
        filters = _pages.Filters(
            name=given.get("name", ""),
            state=given.get("state", ""),
            user=given.get("user", ""),
            tag=given.get("tag", ""),
            page=_page_number(given.get("page")),
        )
        self._reader.catch_up()
        state = (
            cast("SessionState", filters.state) if filters.state in {"active", "finished", "died"} else None
        )
        start = (filters.page - 1) * _PAGE_SESSIONS
        narrowed = {"state": state, "user_id": filters.user or None, "tag": filters.tag or None}
        if filters.name:
            # The store knows exact names; people search for a part of one.
            wanted = filters.name.casefold()
            all_of_them = self._reader.sessions(**narrowed)  # type: ignore[arg-type]
            named = [known for known in all_of_them if wanted in (known.name or known.session_id).casefold()]
            found = named[start : start + _PAGE_SESSIONS + 1]
        else:
            found = self._reader.sessions(**narrowed, limit=_PAGE_SESSIONS + 1, offset=start)  # type: ignore[arg-type]
        shown = found[:_PAGE_SESSIONS]
        return HTMLResponse(_pages.list_page(shown, filters, more=len(found) > _PAGE_SESSIONS))

    def session(self, request: Request) -> Response:
        given = request.query_params
        self._reader.catch_up()
        known = self._reader.session(given.get("id", ""))
        if known is None:
            return HTMLResponse(_pages.not_found_page({"session": given.get("id", "")}), 404)
        found = turns(self._reader.spans(known.session_id))
        page = _page_number(given.get("page"), default=len(found))
        if "span" in given:
            places = (
                place
                for place, turn in enumerate(found)
                if any(given["span"] == s.span_id for s in turn.spans)
            )
            page = next(places, 0) // _PAGE_TURNS + 1
        return HTMLResponse(_pages.session_page(known, found, page=page, page_turns=_PAGE_TURNS))

    def span(self, request: Request) -> Response:
        given = request.query_params
        in_trace = self._reader.spans(trace_id=given.get("trace", ""))
        found = next((span for span in in_trace if span.span_id == given.get("id")), None)
        if found is None:
            return HTMLResponse(_pages.not_found_page({"span": given.get("id", "")}), 404)
        if given.get("fragment"):
            return HTMLResponse(_pages.span_content(found))
        known = self._reader.session(found.session_id) if found.session_id is not None else None
        return HTMLResponse(_pages.span_page(known, found))

    def export(self, request: Request) -> Response:
        known = self._reader.session(request.query_params.get("id", ""))
        if known is None:
            return HTMLResponse(_pages.not_found_page({"session": request.query_params.get("id", "")}), 404)
        drawn = _html.draw_session(
            known, turns(self._reader.spans(known.session_id)), _html.Embedded(20_000_000)
        )
        headers = {"content-disposition": 'attachment; filename="session.html"'}
        return HTMLResponse(_html.draw_page(known.name or known.session_id, drawn), headers=headers)

    async def events(self, request: Request) -> Response:
        session_id = request.query_params.get("id")
        stream = self._changes(session_id)
        return StreamingResponse(stream, media_type="text/event-stream")

    async def _changes(self, session_id: str | None) -> AsyncGenerator[str, None]:
        """Say ``changed`` whenever the session, or without one the list, is not what it was."""
        yield "retry: 1000\n\n"
        before = await run_in_threadpool(self._fingerprint, session_id)
        quiet = 0
        while True:
            await self._sleep(_LOOK_EVERY_S)
            now = await run_in_threadpool(self._fingerprint, session_id)
            quiet = quiet + 1 if now == before else 0
            if now != before:
                before = now
                yield "event: changed\ndata: {}\n\n"
            elif quiet % _HEARTBEAT_LOOKS == 0:
                yield ": still here\n\n"

    def _fingerprint(self, session_id: str | None) -> object:
        try:
            self._reader.catch_up()
            if session_id is not None:
                return self._reader.session(session_id)
            return self._reader.sessions(limit=_PAGE_SESSIONS)
        except StoreError as error:
            return str(error)

    def script(self, _: Request) -> Response:
        source = files(__package__).joinpath("page.js").read_text(encoding="utf-8")
        return PlainTextResponse(source, media_type="text/javascript")


def _page_number(given: str | None, *, default: int = 1) -> int:
    return int(given) if given is not None and given.isdecimal() and int(given[:9]) > 0 else max(default, 1)
