"""Run a backend from its own environment: ``python launch.py phoenix|mlflow``.

The packages take far longer to import than a server takes to start, so they are imported once; each line
``start NAME=VALUE …`` on standard input forks a process that sets the variables and serves, and its pid is
printed. The end of the input ends what still serves.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable


def phoenix() -> Callable[[], None]:
    from phoenix.server import grpc_server
    from phoenix.server.main import main

    async def listen_nowhere(self: object) -> None:
        """Its gRPC port would be open to the whole network, whatever host is set."""

    grpc_server.GrpcServer.__aenter__ = listen_nowhere

    def serve() -> None:
        sys.argv = ["phoenix", "serve"]
        main()

    return serve


def mlflow() -> Callable[[], None]:
    import uvicorn
    from mlflow.server.fastapi_app import app

    def serve() -> None:
        uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]))

    return serve


def main() -> None:
    """Fork a server for each line."""
    serve = {"phoenix": phoenix, "mlflow": mlflow}[sys.argv[1]]()
    started = []
    print("ready", flush=True)
    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            os.environ.update(item.split("=", 1) for item in line.rstrip("\n").split("\t")[1:])
            with open(os.devnull) as nothing:
                os.dup2(nothing.fileno(), 0)
            os.dup2(2, 1)
            serve()
            sys.exit(0)
        started.append(pid)
        print(pid, flush=True)
    for pid in started:  # those that have ended are zombies until now, so that no pid is anybody else's
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


main()
os._exit(0)  # tearing down what was imported takes seconds
