"""``lucidic view``."""

from __future__ import annotations

import secrets
import socket
import webbrowser
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import click

from lucidic._cli._common import UnreadableError, find_session, store
from lucidic.errors import MissingDependencyError


if TYPE_CHECKING:
    from starlette.applications import Starlette

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@click.command(short_help="Serve a local page with all sessions.")
@click.argument("session", required=False)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Where to listen; beyond this machine needs a token.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Which port; by default a free one.")
@click.option("--open/--no-open", "opens", default=True, show_default=True, help="Open the browser.")
def view(session: str | None, host: str, port: int, opens: bool) -> None:
    """Serve a local page with all sessions, live while programs run; with SESSION, open that one.

    Needs: pip install 'lucidic-adapters[view]'. Ctrl-C stops it.
    """
    _require_page()
    from lucidic._view._page._app import make_app

    token = None if host in _LOOPBACK else secrets.token_urlsafe(24)
    with store() as reader:
        known = find_session(reader, session) if session is not None else None
        listener = _listen(host, port)
        hosts = _LOOPBACK if token is None else ("*",)
        path = "/" if known is None else f"/session?{urlencode({'id': known.session_id})}"
        address = _address(host, listener.getsockname()[1], path, token)
        click.echo(f"Serving the sessions at {address} (Ctrl-C stops)")
        if opens:
            webbrowser.open(address)
        _serve(make_app(reader, hosts=hosts, token=token), listener)


def _require_page() -> None:
    try:
        import starlette
        import uvicorn
    except ImportError as error:
        missing = MissingDependencyError("The local page", "view")
        raise click.ClickException(str(missing)) from error
    del starlette, uvicorn


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UnreadableError(
            f"Cannot listen on {host} port {port}: {error}. Choose another with --port."
        ) from error


def _address(host: str, port: int, path: str, token: str | None) -> str:
    if token is not None:
        joint = "&" if "?" in path else "?"
        path = f"{path}{joint}{urlencode({'token': token})}"
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}{path}"


def _serve(app: Starlette, listener: socket.socket) -> None:
    """Serve until Ctrl-C. Open event streams are cut after a second: they would never end by themselves."""
    import uvicorn

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=1, ws="none"
    )
    with suppress(KeyboardInterrupt):  # uvicorn raises it again when it has stopped
        uvicorn.Server(config).run(sockets=[listener])
