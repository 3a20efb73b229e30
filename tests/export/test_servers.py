"""Real servers: gunicorn, uvicorn, Celery, Jupyter."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers import PREAMBLE, run_program

from lucidic._export import Exporter


pytestmark = pytest.mark.slow

REQUESTS = 20
APP = """
from lucidic._export._exit import at_exit
exporter = Exporter(home)
at_exit(exporter.shutdown)
tracer = tracer_for(exporter)

def wsgi(environ, start_response):
    tracer.start_span("request").end()
    if environ["PATH_INFO"] == "/hang":
        threading.Event().wait(60)
    start_response("200 OK", [("content-length", "2")])
    return [b"ok"]

async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    tracer.start_span("request").end()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""
TASKS = """
from celery import Celery
from lucidic._export._exit import at_exit
broker = home.parent / "broker"
app = Celery("tasks", broker="filesystem://")
app.conf.update(
    broker_transport_options={"data_folder_in": str(broker), "data_folder_out": str(broker)},
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
)
exporter = Exporter(home)
at_exit(exporter.shutdown)
tracer = tracer_for(exporter)
tracer.start_span("master").end()

@app.task
def work():
    tracer.start_span("task").end()
"""


CELL = """
from pathlib import Path
from lucidic._export import Exporter
from lucidic._export._exit import at_exit
from helpers import tracer_for
exporter = Exporter(Path({home!r}))
at_exit(exporter.shutdown)
tracer = tracer_for(exporter)
for _ in range(20):
    tracer.start_span("cell").end()
"""
KERNEL = """
from jupyter_client import KernelManager
manager = KernelManager()
manager.start_kernel()
client = manager.client()
client.start_channels()
client.wait_for_ready(timeout=60)
reply = client.execute_interactive({cell!r}, timeout=60)
assert reply["content"]["status"] == "ok", reply
client.stop_channels()
manager.shutdown_kernel(now={now})
"""


def needs(module: str):
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


@contextmanager
def server(tmp_path: Path, source: str, *command: str, port: int | None = None):
    """Run a server with the module ``app`` in its folder; end it with SIGTERM."""
    home = tmp_path / "home"
    text = PREAMBLE.replace("Path(sys.argv[1])", f"Path({str(home)!r})") + source
    (tmp_path / "app.py").write_text(text)
    here = Path(__file__).parent
    path = os.pathsep.join(map(str, (tmp_path, here, here.parents[1] / "core")))
    log = (tmp_path / "log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        stdout=log,
        stderr=log,
    )
    try:
        if port is not None:
            until(lambda: _listens(port), tmp_path)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def until(done, tmp_path: Path, seconds: float = 60.0) -> None:
    """Wait for something of another process."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, (tmp_path / "log").read_text()
        time.sleep(0.05)


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def ask(port: int) -> None:
    for _ in range(REQUESTS):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
            assert b"ok" == answer.read()


def counted(home: Path, name: str) -> int:
    """Count the spans that the next process finds; the books must balance."""
    exporter = Exporter(home)
    exporter.store.catch_up()
    found = sum(span.name == name for span in exporter.store.spans())
    assert 0 == exporter.health().unexplained
    exporter.store.close()
    return found


@needs("gunicorn")
@pytest.mark.parametrize(
    "more", [(), ("--preload",), ("--preload", "--max-requests", "5")], ids=lambda m: "-".join(m)
)
def test_gunicorn(tmp_path, more):
    """Workers of gunicorn, forked before or after the application is loaded, and recycled, lose nothing."""
    port = free_port()
    command = ("gunicorn", "-w", "2", "-b", f"127.0.0.1:{port}", *more, "app:wsgi")
    with server(tmp_path, APP, *command, port=port):
        ask(port)
    assert REQUESTS == counted(tmp_path / "home", "request")


@needs("gunicorn")
def test_gunicorn_worker_that_hangs(tmp_path):
    """A worker that its master aborts because it hangs has lost nothing of what it had ended."""
    port = free_port()
    command = ("gunicorn", "-w", "1", "--timeout", "2", "-b", f"127.0.0.1:{port}", "app:wsgi")
    with server(tmp_path, APP, *command, port=port):
        with pytest.raises(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/hang", timeout=60)
        ask(port)
    assert REQUESTS + 1 == counted(tmp_path / "home", "request")


@needs("uvicorn")
def test_uvicorn(tmp_path):
    """A server that dies of the SIGTERM it was sent loses nothing."""
    port = free_port()
    with server(tmp_path, APP, "uvicorn", "--port", str(port), "app:asgi", port=port):
        ask(port)
    assert REQUESTS == counted(tmp_path / "home", "request")


@needs("celery")
@pytest.mark.parametrize("per_child", ["1", "100"])
def test_celery_prefork(tmp_path, per_child):
    """Children of Celery's prefork pool, replaced after each task or not, lose nothing."""
    (tmp_path / "broker").mkdir()
    command = (
        "celery",
        "-A",
        "app",
        "worker",
        "-P",
        "prefork",
        "-c",
        "2",
        f"--max-tasks-per-child={per_child}",
    )
    with server(tmp_path, TASKS, *command, "--without-gossip", "--without-mingle", "--without-heartbeat"):
        send = "import app\nfor _ in range(10):\n    app.work.delay()\n"
        subprocess.run(
            [sys.executable, "-c", send],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(
                    (str(tmp_path), str(Path(__file__).parent), str(Path(__file__).parents[2] / "core"))
                ),
            },
            check=True,
            timeout=60,
        )
        until(lambda: counted(tmp_path / "home", "task") == 10, tmp_path)
    assert 10 == counted(tmp_path / "home", "task")


@needs("jupyter_client")
@pytest.mark.parametrize("now", [True, False])
def test_jupyter_restart(tmp_path, now):
    """A kernel that is shut down, at once or in peace, loses nothing of its cells."""
    cell = CELL.format(home=str(tmp_path))
    done = run_program(KERNEL.format(cell=cell, now=now), tmp_path)
    assert 0 == done.returncode, done.stderr
    assert 20 == counted(tmp_path, "cell")
