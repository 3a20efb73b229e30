"""The exporter beside OpenTelemetry's BatchSpanProcessor with the OTLP/HTTP exporter, in one run.

    python benchmarks/exporter.py [cost|memory|losses] [--spans N]

``cost``: CPU of the whole process for one exported 5 KB span, delivered to a loopback receiver that runs in a
process of its own. ``memory``: the most resident memory of such a process. ``losses``: spans that nobody has after
each way to end or to fail, counted at the receiver; ours after the next process has delivered what was left.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


_numbers = itertools.count()
_PIECE = secrets.token_hex(5000)
STACKS = ("otel", "lucidic", "lucidic+store")


def start_tracer(stack: str, url: str, home: str):
    """Build one of the stacks; return its tracer, a flush, and a shutdown."""
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

    provider = TracerProvider(shutdown_on_exit=stack == "otel")
    if stack == "otel":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces")))
        return provider.get_tracer("bench"), provider.force_flush, provider.shutdown
    from lucidic._export import Exporter, ExportOptions
    from lucidic._export._exit import at_exit
    from lucidic._export._otlp import OTLPSink
    from lucidic._export._otlp_config import OTLPConfig

    sink = OTLPSink(OTLPConfig(endpoint=f"{url}/v1/traces", gzip=False))
    exporter = Exporter(Path(home), options=ExportOptions(store=stack == "lucidic+store"), sinks=[sink])

    class Feeding(SpanProcessor):
        def on_start(self, span, parent_context=None):
            exporter.span_started(span)

        def on_end(self, span):
            exporter.span_ended(span)

    provider.add_span_processor(Feeding())
    at_exit(exporter.shutdown)
    return provider.get_tracer("bench"), exporter.flush, exporter.shutdown


def attributes_of(size: int) -> dict[str, object]:
    """Attributes of a model call with that many bytes of text."""
    few = {
        "openinference.span.kind": "LLM",
        "lucidic.session_id": "session-1",
        "session.id": "session-1",
        "gen_ai.conversation.id": "session-1",
        "llm.model_name": "a-model",
        "llm.provider": "somebody",
        "llm.token_count.prompt": 812,
        "llm.token_count.completion": 155,
        "llm.token_count.total": 967,
        "llm.invocation_parameters": '{"temperature": 0.2}',
        "llm.input_messages.0.message.role": "system",
        "llm.input_messages.1.message.role": "user",
        "llm.output_messages.0.message.role": "assistant",
    }
    texts = ("input.value", "output.value", "llm.input_messages.0.message.content")
    more = ("llm.input_messages.1.message.content", "llm.output_messages.0.message.content")
    # Every span has texts of its own, as real ones have; the same object in all of them would take no memory.
    return {**few, **{key: f"{next(_numbers):08}{_PIECE[: size // 5 - 8]}" for key in (*texts, *more)}}


def work(stack: str, url: str, home: str, spans: int, scenario: str, rate: float) -> None:
    """Make spans, in the child process; print what it cost."""
    tracer, flush, _shutdown = start_tracer(stack, url, home)
    size = 5000 if scenario == "cost" else 1000
    tracer.start_span("warm", attributes=attributes_of(size)).end()
    if scenario in ("cost", "recover"):
        flush()
    counter = Path(home, "produced")
    before = time.process_time()
    begun = time.monotonic()
    for index in range(spans):
        tracer.start_span("span", attributes=attributes_of(size)).end()
        if scenario != "cost" and rate:
            if index % 50 == 49:
                counter.write_text(str(index + 2))
                time.sleep(max(0.0, begun + index / rate - time.monotonic()))
            if index == spans // 2:
                counter.write_text(str(index + 2))
                _end(scenario)
        elif rate and index % 256 == 255:
            time.sleep(max(0.0, begun + index / rate - time.monotonic()))
    counter.write_text(str(spans + 1))
    if scenario == "cost":
        flush()
        cpu = time.process_time() - before
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({"cpu": cpu / spans * 1e6, "rss": most / 1024}))


def _end(scenario: str) -> None:
    if scenario == "sigkill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif scenario == "sigterm":
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
    elif scenario == "os._exit":
        os._exit(0)
    elif scenario == "sys.exit":
        sys.exit(0)


def serve(plan: str) -> None:
    """Receive OTLP in a process of its own; print the port, and the distinct span ids when told to stop."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    seen: set[bytes] = set()
    total = [0]
    faults = {
        "503 x3": [503] * 3,
        "500 x3": [500] * 3,
        "401 x3": [401] * 3,
        "429": [429],
        "413 x3": [413] * 3,
    }
    left = list(faults.get(plan, ()))
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            with lock:
                status = left.pop(0) if left and total[0] else 200
            if plan == "hang" and total[0]:
                time.sleep(120)
            if status == 200:
                with lock:
                    bodies.append(body)
                    total[0] += 1
            self.send_response(status)
            self.send_header("content-type", "application/x-protobuf")
            if status == 429:
                self.send_header("retry-after", "30")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_arguments):
            return

    bodies: list[bytes] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.readline()
    count = 0
    for body in bodies:
        request = ExportTraceServiceRequest.FromString(body)
        for part in request.resource_spans:
            for scope in part.scope_spans:
                count += len(scope.spans)
                seen.update(span.span_id for span in scope.spans)
    print(json.dumps({"distinct": len(seen), "all": count}), flush=True)
    os._exit(0)


class Server:
    """The receiver's process."""

    def __init__(self, plan: str = "") -> None:
        arguments = [sys.executable, __file__, "serve", "--scenario", plan]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{self.process.stdout.readline().strip()}"

    def stop(self) -> dict[str, int]:
        out, _ = self.process.communicate("\n", timeout=60)
        return json.loads(out)


def child(stack: str, url: str, home: str, spans: int, scenario: str, rate: float) -> tuple[str, float]:
    """Run the work in a process of its own; return what it printed and its seconds."""
    arguments = [
        "--stack",
        stack,
        "--url",
        url,
        "--home",
        home,
        "--spans",
        str(spans),
        "--scenario",
        scenario,
    ]
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, __file__, "work", *arguments, "--rate", str(rate)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if scenario == "cost" and done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout, time.monotonic() - begun


def cost(spans: int, repeat: int) -> None:
    """Print CPU and memory of each stack; the best of several runs."""
    found: dict[str, list[dict[str, float]]] = {stack: [] for stack in STACKS}
    for _ in range(repeat):
        for stack in STACKS:
            server = Server()
            with tempfile.TemporaryDirectory() as home:
                out, _seconds = child(stack, server.url, home, spans, "cost", 1500)
            got = server.stop()["distinct"]
            if stack != "otel" and got != spans + 1:
                raise SystemExit(f"{stack} delivered {got} of {spans + 1} spans")
            found[stack].append(json.loads(out))
    base = {key: min(run[key] for run in found["otel"]) for key in ("cpu", "rss")}
    print(f"{spans} spans of 5 KB, best of {repeat}; ratio to OpenTelemetry's BatchSpanProcessor + OTLP/HTTP")
    for stack, runs in found.items():
        cpu, rss = min(run["cpu"] for run in runs), min(run["rss"] for run in runs)
        print(
            f"  {stack:14} CPU {cpu:6.1f} us/span (ratio {cpu / base['cpu']:.2f})"
            f"   memory {rss:6.1f} MB (ratio {rss / base['rss']:.2f})"
        )


LOSSES = (
    "normal",
    "burst",
    "sys.exit",
    "sigterm",
    "sigkill",
    "os._exit",
    "503 x3",
    "500 x3",
    "401 x3",
    "413 x3",
    "429",
)


def losses(spans: int) -> None:
    """Print what each stack loses in each scenario."""
    print(f"{spans} spans of 1 KB at 2,500 a second; lost / sent twice / seconds")
    for scenario in (*LOSSES, "hang", "down"):
        line = f"  {scenario:10}"
        for stack in ("otel", "lucidic"):
            server = Server(scenario)
            url = "http://127.0.0.1:9" if scenario == "down" else server.url
            with tempfile.TemporaryDirectory() as home:
                rate = 0 if scenario == "burst" else 2500
                _out, seconds = child(stack, url, home, spans, scenario, rate)
                produced = int(Path(home, "produced").read_text())
                if stack == "lucidic":
                    pending, got = _recover(server, url, home)
                else:
                    pending, got = 0, server.stop()
            lost = produced - got["distinct"] - pending
            line += f"   {stack}: {lost:5} / {got['all'] - got['distinct']:4} / {seconds:5.1f}"
        print(line, flush=True)


def _recover(server: Server, url: str, home: str) -> tuple[int, dict[str, int]]:
    """Deliver what the process left, as the next one does; return what is pending for ever and what arrived."""
    if url.endswith(":9") or server.process.args[-1] == "hang":
        # Nobody is there to take them: they must be on the disk.
        from lucidic._export._census import Census

        got = server.stop()
        on_disk = sum(count.spans for count in Census(Path(home, "spool")).take().values())
        return on_disk - got["distinct"], got
    child("lucidic", url, home, 0, "recover", 0)
    # The next process has made one span of its own.
    got = server.stop()
    return 0, {"distinct": got["distinct"] - 1, "all": got["all"] - 1}


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["cost", "losses", "work", "serve"], nargs="?", default="cost")
    parser.add_argument("--spans", type=int, default=5000)
    parser.add_argument("--repeat", type=int, default=3)
    for name in ("stack", "url", "home", "scenario"):
        parser.add_argument(f"--{name}", default="", help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=float, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    actions: dict[str, Callable[[], None]] = {
        "cost": lambda: cost(given.spans, given.repeat),
        "losses": lambda: losses(given.spans),
        "work": lambda: work(given.stack, given.url, given.home, given.spans, given.scenario, given.rate),
        "serve": lambda: serve(given.scenario),
    }
    actions[given.what]()


if __name__ == "__main__":
    main()
