"""The page as a Starlette application: server-rendered, with server-sent events for what changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from importlib.resources import files
from itertools import islice
from typing import Any, Final, cast

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from lucidic._records import SessionState, StoredSession, StoredSpan, StoredTrace
from lucidic._view import _html
from lucidic._view._html_style import STYLE
from lucidic._view._page import _list, _session, _span
from lucidic._view._page._addresses import ListFilters, SpanFilters
from lucidic._view._page._frame import frame, not_found
from lucidic._view._page._guard import LOOPBACK, PageGuard
from lucidic._view._page._traces import Traces
from lucidic._view._reader import Reader
from lucidic._view._tree import turns
from lucidic.errors import StoreError


_LOOK_EVERY_S: Final = 0.5
_HEARTBEAT_LOOKS: Final = 30
"""Looks without news after which a comment keeps proxies and browsers from giving up: 15 seconds."""
_WATCHED_SESSIONS: Final = 50
_CHANGED: Final = "event: changed\ndata: {}\n\n"


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
        Route("/part/sessions", page.part_of_sessions),
        Route("/session", page.session),
        Route("/part/turns", page.part_of_turns),
        Route("/part/lines", page.part_of_lines),
        Route("/span", page.span),
        Route("/export", page.export),
        Route("/events", page.events),
        Route("/page.js", _script),
        Route("/page.css", _style),
    ]
    guard = Middleware(PageGuard, hosts=tuple(hosts), token=token)
    return Starlette(routes=routes, middleware=[guard], exception_handlers={StoreError: _unreadable})


def _unreadable(_: Request, error: Exception) -> Response:
    return HTMLResponse(frame("Unreadable", f"<h1>Unreadable</h1><p>{_html.escaped(str(error))}</p>"), 503)


def _script(_: Request) -> Response:
    return Response(_file("page.js"), media_type="text/javascript")


def _style(_: Request) -> Response:
    return Response(STYLE + _file("page.css"), media_type="text/css")


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


class _Page:
    """The answers. The plain functions run in worker threads, because the store blocks."""

    def __init__(self, reader: Reader, sleep: Callable[[float], Any]) -> None:
        self._reader = reader
        self._traces = Traces(reader)
        self._sleep = sleep

    def sessions(self, request: Request) -> Response:
        filters = ListFilters.read(request.query_params)
        self._reader.catch_up()
        start = _number(request, "start") // _list.CHUNK * _list.CHUNK
        shown, total = self._listed(filters, start)
        return HTMLResponse(_list.list_page(shown, filters, total, start=start))

    def part_of_sessions(self, request: Request) -> Response:
        start = _number(request, "start")
        found, _ = self._listed(ListFilters.read(request.query_params), start)
        return HTMLResponse(_list.draw_rows(found))

    def _listed(self, filters: ListFilters, start: int) -> tuple[list[StoredSession], int]:
        """Return the sessions of a chunk, and how many there are in all."""
        state = cast("SessionState | None", filters.state or None)
        user_id, tag = filters.user or None, filters.tag or None
        if filters.asks_the_store:
            found = self._reader.sessions(
                state=state, user_id=user_id, tag=tag, limit=_list.CHUNK, offset=start
            )
            return found, self._reader.count_sessions(state=state, user_id=user_id, tag=tag)
        everything = self._reader.sessions(state=state, user_id=user_id, tag=tag)
        taken = [session for session in everything if filters.takes(session)]
        return taken[start : start + _list.CHUNK], len(taken)

    def session(self, request: Request) -> Response:
        given = request.query_params
        self._reader.catch_up()
        known = self._reader.session(given.get("id", ""))
        if known is None:
            return HTMLResponse(not_found(f"session {given.get('id', '')}"), 404)
        traces, filters = self._reader.traces(known.session_id), SpanFilters.read(given)
        if filters:
            found = self._traces.find(known.session_id, traces, filters)
            body = _session.draw_found(known, list(islice(found, _session.MATCHES + 1)))
            return HTMLResponse(_session.session_page(known, traces, body, filters=filters))
        chosen = self._span(given.get("trace", ""), given["span"]) if "span" in given else None
        ids = [trace.trace_id for trace in traces]
        number, every = _number(request, "start"), "every" in given
        if chosen is not None and chosen.trace_id in ids:
            number = ids.index(chosen.trace_id)
            found_in = self._traces.turn(known.session_id, number + 1, traces[number])
            every = every or found_in.line_of(chosen.span_id) is None
        start = number // _session.TURNS * _session.TURNS
        around = chosen.span_id if chosen is not None else ""
        drawn = self._drawn_turns(known, traces, start, every=every, around=around)
        body = _session.draw_chunks(known, traces, {start: drawn}, every=every)
        selected = _span.draw_span(chosen) if chosen is not None else ""
        return HTMLResponse(
            _session.session_page(known, traces, body, filters=filters, selected=selected, every=every)
        )

    def _drawn_turns(
        self,
        session: StoredSession,
        traces: Sequence[StoredTrace],
        start: int,
        *,
        every: bool,
        around: str = "",
    ) -> str:
        chosen = list(enumerate(traces, 1))[start : start + _session.TURNS]
        turns = [
            self._traces.turn(session.session_id, number, trace, every=every) for number, trace in chosen
        ]
        return _session.draw_turns(session, turns, around=around)

    def part_of_turns(self, request: Request) -> Response:
        known = self._reader.session(request.query_params.get("id", ""))
        if known is None:
            return HTMLResponse("", 404)
        traces = self._reader.traces(known.session_id)
        every = "every" in request.query_params
        return HTMLResponse(self._drawn_turns(known, traces, _number(request, "start"), every=every))

    def part_of_lines(self, request: Request) -> Response:
        given = request.query_params
        known = self._reader.session(given.get("id", ""))
        traces = [] if known is None else self._reader.traces(known.session_id)
        for number, trace in enumerate(traces, 1):
            if known is not None and trace.trace_id == given.get("trace"):
                drawn = self._traces.turn(known.session_id, number, trace, every="every" in given)
                return HTMLResponse(_session.draw_lines(known, drawn, _number(request, "start")))
        return HTMLResponse("", 404)

    def span(self, request: Request) -> Response:
        given = request.query_params
        found = self._span(given.get("trace", ""), given.get("id", ""))
        if found is None:
            return HTMLResponse(not_found(f"span {given.get('id', '')}"), 404)
        if given.get("part"):
            return HTMLResponse(_span.draw_span(found))
        known = self._reader.session(found.session_id) if found.session_id is not None else None
        return HTMLResponse(_span.span_page(known, found))

    def _span(self, trace_id: str, span_id: str) -> StoredSpan | None:
        in_trace = self._reader.spans(trace_id=trace_id) if trace_id else ()
        return next((span for span in in_trace if span.span_id == span_id), None)

    def export(self, request: Request) -> Response:
        session_id = request.query_params.get("id", "")
        known = self._reader.session(session_id)
        if known is None:
            return HTMLResponse(not_found(f"session {session_id}"), 404)
        drawn = _html.draw_file([(known, turns(self._reader.spans(known.session_id)))])
        headers = {"content-disposition": 'attachment; filename="session.html"'}
        return HTMLResponse(drawn, headers=headers)

    async def events(self, request: Request) -> Response:
        stream = self._changes(request.query_params.get("id"))
        return StreamingResponse(stream, media_type="text/event-stream")

    async def _changes(self, session_id: str | None) -> AsyncGenerator[str, None]:
        """Say ``changed`` whenever the session, or without one the list, is not what it was."""
        yield "retry: 1000\n\n"
        before = await run_in_threadpool(self._fingerprint, session_id)
        # Something may have changed since the page was made, or since the connection was lost.
        yield _CHANGED
        quiet = 0
        while True:
            await self._sleep(_LOOK_EVERY_S)
            now = await run_in_threadpool(self._fingerprint, session_id)
            quiet = quiet + 1 if now == before else 0
            if now != before:
                before = now
                yield _CHANGED
            elif quiet % _HEARTBEAT_LOOKS == 0:
                yield ": still here\n\n"

    def _fingerprint(self, session_id: str | None) -> object:
        try:
            self._reader.catch_up()
            if session_id is not None:
                return self._reader.session(session_id)
            return self._reader.sessions(limit=_WATCHED_SESSIONS), self._reader.count_sessions()
        except StoreError as error:
            return str(error)


def _number(request: Request, name: str) -> int:
    given = request.query_params.get(name, "0")
    return int(given[:9]) if given.isascii() and given.isdecimal() else 0
