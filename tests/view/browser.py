"""A Chromium and a served page, for tests and pictures."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from contextlib import contextmanager

import uvicorn

from lucidic._view._page._app import make_app


def chromium() -> str | None:
    """Return the path of a Chromium: LUCIDIC_CHROMIUM, or the system's."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("LUCIDIC_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@contextmanager
def served(reader):
    """Serve the page over a store on a free port of this machine, and give its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(make_app(reader), log_level="error", ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
