"""Run the three frameworks beside another tracer, and say what both have seen: ``python beside.py NAME WHO``.

NAME is a key of ``OTHERS``; WHO is ``them first`` or ``us first``. Prints one line of JSON. Whoever is first does the
work alone before the other comes. With ``root`` as the third word nothing is open around the work.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections import Counter
from contextlib import ExitStack, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from langchain_core.tracers.langchain import wait_for_all_tracers
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


RUN = re.compile(rb'name="post\.[-0-9a-f]{36}".*?\r\n\r\n(.*?)\r\n--', re.DOTALL)
NOTE, SECRET = "note", "my password is hunter2"
SESSION = "user_0001_conv_0001"
seen = InMemorySpanExporter()
requests: list[bytes] = []


class Endpoint(BaseHTTPRequestHandler):
    """Takes whatever another tracer sends, on loopback."""

    def do_POST(self):
        requests.append(b"".join(self._body()))
        self.send_response(202)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_PATCH = do_PUT = do_POST

    def _body(self):
        if self.headers.get("transfer-encoding") != "chunked":
            yield self.rfile.read(int(self.headers.get("content-length") or 0))
            return
        # Unread, a body that is still being sent would have the sender see a broken connection, and try again.
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def log_message(self, *args):
        pass


def endpoint():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def provider_of_theirs():
    made = TracerProvider()
    made.add_span_processor(SimpleSpanProcessor(seen))
    trace.set_tracer_provider(made)
    return made


def openinference():
    from openinference.instrumentation.langchain import LangChainInstrumentor
    from openinference.instrumentation.openai import OpenAIInstrumentor
    from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor
    from openinference.instrumentation.pydantic_ai import OpenInferenceSpanProcessor
    from pydantic_ai import Agent

    made = provider_of_theirs()
    made.add_span_processor(OpenInferenceSpanProcessor())
    Agent.instrument_all()
    for instrumentor in (LangChainInstrumentor(), OpenAIAgentsInstrumentor(), OpenAIInstrumentor()):
        instrumentor.instrument(tracer_provider=made)


def openllmetry():
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor
    from opentelemetry.instrumentation.openai_agents import OpenAIAgentsInstrumentor

    made = provider_of_theirs()
    for instrumentor in (LangchainInstrumentor(), OpenAIAgentsInstrumentor(), OpenAIInstrumentor()):
        instrumentor.instrument(tracer_provider=made)


def logfire():
    import logfire

    logfire.configure(
        send_to_logfire=False, console=False, additional_span_processors=[SimpleSpanProcessor(seen)]
    )
    logfire.instrument_pydantic_ai()
    logfire.instrument_openai_agents()
    logfire.instrument_openai()


def langfuse():
    from langfuse import Langfuse

    os.environ["LANGFUSE_HOST"] = endpoint()
    made = provider_of_theirs()
    Langfuse(public_key="pk", secret_key="sk", tracer_provider=made)
    from contextvars import ContextVar

    from langchain_core.tracers.context import register_configure_hook
    from langfuse.langchain import CallbackHandler
    from pydantic_ai import Agent

    Agent.instrument_all()
    # As a program that passes their handler to every run.
    register_configure_hook(ContextVar("theirs", default=CallbackHandler()), inheritable=True)


def langsmith():
    os.environ |= {
        "LANGSMITH_TRACING": "true", "LANGSMITH_API_KEY": "none", "LANGSMITH_ENDPOINT": endpoint(),
    }  # fmt: skip


def langsmith_spans():
    provider_of_theirs()
    langsmith()
    os.environ |= {"LANGSMITH_OTEL_ENABLED": "true", "LANGSMITH_OTEL_ONLY": "true"}


OTHERS = {
    "openinference": openinference,
    "openllmetry": openllmetry,
    "logfire": logfire,
    "langfuse": langfuse,
    "langsmith": langsmith,
    "langsmith spans": langsmith_spans,
}


def work(*, root=False):
    import lucidic as lai
    from lucidic.testing import ScriptedServer
    from lucidic_adapters import _demo

    with ScriptedServer(_demo.script) as server, lai.bind_session(SESSION):
        request = trace.get_tracer("user").start_as_current_span("request", attributes={NOTE: SECRET})
        with nullcontext() if root else request:
            _demo.Team(model="m", api_key="none", base_url=server.openai_url, trust_env=False).ask()


def main(name, who, root=None):
    trap = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: trap.append(f"{record.name}: {record.getMessage()}")
    logging.getLogger().addHandler(handler)
    from agents import set_trace_processors

    import lucidic as lai
    from lucidic.testing import capture_spans

    set_trace_processors([])
    with ExitStack() as stack:
        alone = None
        if who == "them first":
            OTHERS[name]()
            work(root=root)
            alone = sorted(their_spans().items())
            forget()
        theirs = trace.get_tracer_provider()
        captured = stack.enter_context(capture_spans())
        for provider in ("langchain", "pydantic_ai", "openai_agents"):
            stack.enter_context(lai.instrument(provider))
        if who == "us first":
            work(root=root)
            OTHERS[name]()
            theirs = trace.get_tracer_provider()
            captured.clear()
            forget()
        work(root=root)
        return report(captured.spans, trap, alone=alone, replaced=trace.get_tracer_provider() is not theirs)


def forget():
    seen.clear()
    requests.clear()


def report(ours, trap, *, alone, replaced):
    names = {span.context.span_id: span.name for span in ours}
    return {
        "ours": sorted(path(span, ours) for span in ours if is_ours(span)),
        "traces": len({span.context.trace_id for span in ours if is_ours(span)}),
        "sessions": sorted({str(id) for span in ours for id in ids(span)}),
        "dangling": [s.name for s in ours if s.parent and s.parent.span_id not in names],
        "tokens": sum(
            (span.attributes or {}).get("llm.token_count.total", 0) for span in ours if is_ours(span)
        ),
        "prompt_tokens": sum(prompt_tokens(span) for span in ours),
        "alone": alone,
        "theirs": sorted(their_spans().items()),
        "they_see_us": sum(map(is_ours, seen.get_finished_spans())),
        "twice": [item for item, count in Counter(s.context.span_id for s in ours).items() if count > 1],
        "note": notes(ours),
        "their_note": notes(seen.get_finished_spans()),
        "kept": sorted(span.name for span in ours if not is_ours(span)),
        "replaced": replaced,
        "logs": trap,
    }


def their_spans():
    """Count what the other tracer has: the spans it exported, by path without ours, or the runs that it sent."""
    wait_for_all_tracers()
    spans = seen.get_finished_spans()
    found = Counter(path(span, spans, wanted=is_theirs) for span in spans if is_theirs(span))
    for body in requests:
        if b'name="post.' in body:
            # A part of a run is said once more, without its name, for the inputs and the like.
            found.update(json.loads(part)["name"] for part in RUN.findall(body))
    return found


def notes(spans):
    return [span.attributes[NOTE] for span in spans if NOTE in (span.attributes or {})]


def is_theirs(span):
    return not is_ours(span)


def is_ours(span):
    return span.instrumentation_scope.name.startswith("lucidic")


def path(span, spans, wanted=is_ours):
    """Return the names of our spans, or of others, from the root down."""
    by_id = {other.context.span_id: other for other in spans}
    found = []
    while span is not None:
        if wanted(span):
            found.append(span.name)
        span = by_id.get(span.parent.span_id) if span.parent else None
    return "/".join(reversed(found))


def ids(span):
    keys = ("lucidic.session_id", "session.id", "gen_ai.conversation.id")
    return [(span.attributes or {}).get(key) for key in keys]


def prompt_tokens(span):
    found = span.attributes or {}
    return found.get("llm.token_count.prompt", found.get("gen_ai.usage.input_tokens", 0))


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
    sys.stdout.flush()
