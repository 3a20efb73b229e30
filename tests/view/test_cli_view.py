"""Serving the local page."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys

import httpx
import pytest
from click.testing import CliRunner

from lucidic._cli import _view, main


@pytest.fixture
def view(reader, monkeypatch):
    """Run the command with a server that only remembers what it was given."""
    served = []
    monkeypatch.setattr(_view, "_serve", lambda app, listener: (served.append(app), listener.close()))

    def invoke(*arguments):
        given = {"open_store": lambda: reader}
        return CliRunner().invoke(main, ["view", "--no-open", *arguments], obj=given, catch_exceptions=False)

    return invoke


def test_the_address_of_a_session_is_printed(view):
    """Loopback, a free port, and the session that was asked for."""
    assert re.search(r"at http://127\.0\.0\.1:\d+/ \(Ctrl-C", view().stdout)
    assert re.search(r"at http://127\.0\.0\.1:\d+/session\?id=thread-42 ", view("Trip planning").stdout)
    assert view("nope").exit_code == 1


def test_beyond_this_machine_the_address_has_a_token(view):
    """Another host is served, but only with what is printed here."""
    assert re.search(r"/\?token=[\w-]{32} ", view("--host", "0.0.0.0").stdout)
    assert re.search(r"/session\?id=thread-42&token=[\w-]{32} ", view("thread", "--host", "0.0.0.0").stdout)


def test_a_taken_port_says_so(view):
    """One line, with the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = view("--port", str(taken.getsockname()[1]))
    assert result.exit_code == 3
    assert "--port" in result.stderr


def test_without_the_extra_it_is_named(view, monkeypatch):
    """The command is there without its server, and says what to install."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = view()
    assert result.exit_code == 1
    assert "lucidic-adapters[view]" in result.stderr


def test_a_real_server_answers_and_ends_at_ctrl_c():
    """The page, its script and its event stream, over real HTTP; an open stream does not keep it from ending."""
    command = [sys.executable, "-u", "-m", "lucidic", "view", "--no-open"]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as server:
        address = re.search(r"http://\S+", server.stdout.readline())[0]
        try:
            with httpx.Client(base_url=address, trust_env=False, timeout=20) as client:
                assert "<h1>Sessions</h1>" in client.get("/").text
                assert client.get("/page.js").headers["content-type"].startswith("text/javascript")
                with client.stream("GET", "/events") as stream:
                    assert next(stream.iter_lines()) == "retry: 1000"
                    server.send_signal(signal.SIGINT)
                    server.wait(20)
        finally:
            server.kill()
        assert (server.returncode, server.stderr.read()) == (0, "")
