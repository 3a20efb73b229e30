"""A small HTTP client that keeps one connection and one deadline.

The standard library's client, because this runs at the interpreter's exit and in every process: it starts no thread,
and takes a third of the memory of the libraries, whose timeouts are for each read and not for the whole request.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import os
import select
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any, Final
from urllib.parse import SplitResult, unquote, urlsplit


CONNECT_SECONDS: Final = 2.0
IDLE_SECONDS: Final = 30.0
"""Seconds after which an idle connection is not used again: gateways forget it without a word, most after a minute."""
_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HTTPError(Exception):
    """Raised when there is no answer: refused, broken, too late, or no HTTP."""


class _Deadline:
    """A socket of which every operation ends at the same time."""

    def __init__(self, sock: socket.socket, until: float) -> None:
        self.sock = sock
        self.until = until

    def arm(self) -> socket.socket:
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("The time for the request is over.")
        self.sock.settimeout(left)
        return self.sock

    def sendall(self, data: bytes) -> None:
        self.arm().sendall(data)

    def makefile(self, _mode: str) -> IO[bytes]:
        return io.BufferedReader(_Reader(self))

    def close(self) -> None:
        self.sock.close()


class _Reader(io.RawIOBase):
    def __init__(self, sock: _Deadline) -> None:
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._sock.arm().recv_into(buffer)


class HTTPClient:
    """Talk to one host at a time. Creating it connects to nothing; not for several threads.

    Proxies come from the environment as ``urllib`` reads it. A forked child makes a connection of its own.

    Args:
        trust: Makes the TLS context at the first https connection.
    """

    def __init__(self, trust: Any) -> None:
        self._trust = trust
        self._connection: http.client.HTTPConnection | None = None
        self._target: tuple[str, str] = ("", "")
        self._used = (0.0, 0.0)
        self._owner = os.getpid()
        _import_what_requests_need()

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()

    def interrupt(self) -> None:
        """End the request that another thread waits for, as if its connection had broken; takes no lock."""
        sock = getattr(self._connection, "sock", None)
        if isinstance(sock, _Deadline):
            with contextlib.suppress(OSError):
                # Past TLS, whose own shutdown would take the connection from under the reading thread.
                socket.socket.shutdown(sock.sock, socket.SHUT_RDWR)

    def _is_old(self) -> bool:
        return any(now - then > IDLE_SECONDS for now, then in zip(_clocks(), self._used, strict=True))

    def request(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        *,
        until: float,
        limit: int,
    ) -> Response:
        """Send a request and read at most ``limit`` bytes of the answer.

        Raises:
            HTTPError: There is no answer before the monotonic time ``until``. The connection is closed then: it may
                be in any state.
        """
        try:
            return self._request(method, urlsplit(url), body, dict(headers), until, limit)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise HTTPError(f"{type(error).__name__}: {error}".rstrip(": ")) from error

    def _request(
        self,
        method: str,
        url: SplitResult,
        body: bytes | None,
        headers: dict[str, str],
        until: float,
        limit: int,
    ) -> Response:
        if url.username is not None and "authorization" not in headers:
            headers["authorization"] = _basic(url.username, url.password or "")
        proxy = _proxy(url)
        connection = self._connect(url, proxy, until)
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        if proxy is not None and url.scheme == "http":
            path = f"http://{url.netloc.rpartition('@')[2]}{path}"
        early = False
        try:
            connection.request(method, path, body, headers)
        except (BrokenPipeError, ConnectionResetError):
            # A server may refuse a body without reading it to its end: the answer is there all the same.
            early = True
        answer = connection.getresponse()
        content = answer.read(limit)
        if early or (not answer.isclosed() and answer.read(1)):
            # What was not sent or read to its end leaves a connection that cannot be used again.
            self.close()
        if answer.length:
            raise http.client.IncompleteRead(content, answer.length)
        self._used = _clocks()
        return Response(answer.status, {key.lower(): value for key, value in answer.getheaders()}, content)

    def _connect(
        self, url: SplitResult, proxy: SplitResult | None, until: float
    ) -> http.client.HTTPConnection:
        target = (url.scheme, url.netloc)
        if self._owner != os.getpid():
            self._owner = os.getpid()
            self.close()  # the parent's; closing the copy ends nothing there
        known = self._connection
        sock = known.sock if known is not None and self._target == target else None
        if (
            known is not None
            and isinstance(sock, _Deadline)
            and not self._is_old()
            and not _is_stale(sock.sock)
        ):
            sock.until = until
            return known
        self.close()
        at = proxy or url
        left = max(0.1, min(CONNECT_SECONDS, until - time.monotonic()))
        host, port = at.hostname or "", at.port or _PORTS[at.scheme]
        made: http.client.HTTPConnection
        if url.scheme == "https":
            made = http.client.HTTPSConnection(host, port, timeout=left, context=self._trust())
        else:
            made = http.client.HTTPConnection(host, port, timeout=left)
        if proxy is not None and url.scheme == "https":
            made.set_tunnel(url.hostname or "", url.port or _PORTS["https"], _proxy_headers(proxy))
        made.connect()
        made.sock = _Deadline(made.sock, until)
        self._connection, self._target = made, target
        return made


def _import_what_requests_need() -> None:
    """Import here, in the caller's thread, what the first request imports otherwise.

    A child that is forked while another thread imports a module waits for that module for ever.
    """
    import encodings.idna  # noqa: F401 - every look-up of a host name does

    with contextlib.suppress(ImportError):
        import certifi  # noqa: F401
    if _has_proxies():
        import urllib.request  # noqa: F401


def _has_proxies() -> bool:
    return any(name.lower().endswith("_proxy") for name in os.environ)


def _clocks() -> tuple[float, float]:
    # While a machine sleeps or a function is frozen, one of them stands still, and which one is the platform's choice.
    return time.monotonic(), time.time()


def _is_stale(sock: socket.socket) -> bool:
    """Tell whether the other side has closed a connection that nobody expects anything from."""
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))


def _proxy(url: SplitResult) -> SplitResult | None:
    if not _has_proxies():
        return None
    from urllib.request import getproxies_environment, proxy_bypass

    proxies = getproxies_environment()
    address = proxies.get(url.scheme) or proxies.get("all")
    if not address or proxy_bypass(url.hostname or "", proxies):
        return None
    return urlsplit(address if "://" in address else f"http://{address}")


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    return {"Proxy-Authorization": _basic(proxy.username, proxy.password or "")}


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()


def tls_context(
    certificate: str | None, client_certificate: str | None, client_key: str | None
) -> ssl.SSLContext:
    """Make a TLS context that trusts a file of certificates, or what the system and ``certifi`` trust.

    Raises:
        OSError: A file cannot be read.
        ssl.SSLError: A file holds no certificate.
    """
    context = ssl.create_default_context(cafile=certificate)
    if certificate is None and not os.environ.get("SSL_CERT_FILE"):
        with contextlib.suppress(ImportError):
            import certifi

            context.load_verify_locations(certifi.where())
    if client_certificate is not None:
        context.load_cert_chain(client_certificate, client_key)
    return context
