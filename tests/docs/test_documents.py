"""Every snippet of the documents' pages runs unmodified, against a scripted provider."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from fastapi import BackgroundTasks, FastAPI, Request
from opentelemetry import trace
from starlette.testclient import TestClient

import lucidic as lai
from lucidic.errors import SessionFinishedError
from lucidic.testing import capture_spans, session_id_of


_spec = importlib.util.spec_from_file_location("docs_pages", Path(__file__).with_name("pages.py"))
pages = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(pages)


@pytest.fixture(autouse=True)
def _as_lucidicai():
    lai.install_as_lucidicai()
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "lucidicai"]:
        del sys.modules[name]


plain, llm_spans, ends = pages.plain, pages.llm_spans, pages.ends


class TestPythonSessions:
    page = "python-sessions.md"

    def test_session_captures_the_model_call_and_ends(self, captured, server):
        """The model call is an LLM span of the session, with both texts; the session ends on exit."""
        pages.run(self.page, "Order Processor")["client"].close()
        (span,) = llm_spans(captured)

        assert [session_id_of(span)] == ends(captured)
        assert "Summarize the order" in str(dict(span.attributes))
        assert "You said: Summarize the order" in str(dict(span.attributes))

    def test_bind_session_does_not_end_and_end_session_does(self, captured):
        """Work in the block is attributed, and the session ends with end_session()."""
        found = pages.run(self.page, "request-123", do_work=lambda: plain("work"))

        assert {"work": found["sid"]} == captured.session_ids()
        assert [found["sid"]] == ends(captured)

    def test_async_variants(self, captured):
        """Both asynchronous blocks attribute their work; only the first one's session ends."""

        async def work(name):
            await asyncio.sleep(0)
            plain(name)

        pages.run_in_loop(
            self.page,
            "handle_request",
            lambda space: space["handle_request"](),
            do_async_work=lambda: work("own"),
            do_more_async_work=lambda: work("existing"),
        )

        assert "existing" == captured.session_ids()["existing"]
        assert [captured.session_ids()["own"]] == ends(captured)

    def test_function_wrappers(self, captured):
        """The wrapped function's result comes back; the first session ends, the second stays open."""
        found = pages.run(self.page, "run_in_session")

        assert 20 == found["result"]
        assert found["sid"] not in ends(captured)
        assert 1 == len(ends(captured))

    def test_manual_control(self, captured):
        """Set, clear and end by hand end the session once and leave nothing bound."""
        found = pages.run(self.page, "set_active_session")

        assert [found["sid"]] == ends(captured)
        assert lai.current_session_id() is None


class TestTypeScriptSessions:
    page = "typescript-sessions.md"

    def test_request_handler_leaves_its_session_open(self, captured, server):
        """Concurrent handlers keep their model calls apart, return them, and end nothing."""

        async def main(space):
            return await asyncio.gather(*(space["endpoint"](index) for index in range(5)))

        answers = pages.run_in_loop(self.page, "endpoint", main)

        assert {session_id for session_id, _ in answers} == {
            session_id_of(span) for span in llm_spans(captured)
        }
        assert {"You said: Hello"} == {answer.choices[0].message.content for _, answer in answers}
        assert [] == ends(captured)

    def test_short_task_runs_a_full_lifecycle(self, captured, server):
        """One call: the session begins, the work is in it, it ends, and nothing stays bound."""
        found = pages.run(self.page, "short-task")
        (span,) = llm_spans(captured)

        assert "You said: Hello" == found["completion"].choices[0].message.content
        assert [session_id_of(span)] == ends(captured)
        assert lai.current_session_id() is None

    def test_manual_order_sends_the_verdict_once(self, captured):
        """Set, work, clear, end: one end, successful."""
        found = pages.run(self.page, 'session_name="manual"', do_work=lambda: plain("work"))
        (end,) = [record for record in captured.sessions if record.event == "end"]

        assert {"work": found["sid"]} == captured.session_ids()
        assert {"is_successful": True} == end.fields


class TestContinuingSessions:
    page = "continuing-sessions.md"

    def test_basic_usage(self):
        """A session that was left open goes on, and the step is in it."""
        lai.init(session_id="existing-session-123", auto_end=False)
        lai.shutdown(20.0)
        pages.run(self.page, "Continue a previous session")
        assert lai.shutdown(20.0)

        assert (1, "finished") == (
            lai.get_session("existing-session-123").spans,
            lai.get_session("existing-session-123").state,
        )

    def test_distributed(self, capsys):
        """As they stand the second process is refused; a session that was left open goes on."""
        first = pages.run(self.page, "# Process 1")
        lai.shutdown(20.0)
        with pytest.raises(SessionFinishedError, match="reopen=True"):
            pages.run(self.page, "# Process 2", get_session_from_queue=lambda: first["session_id"])
        lai.shutdown(20.0)
        left_open = lai.init("left open", auto_end=False)
        lai.shutdown(20.0)
        pages.run(self.page, "# Process 2", get_session_from_queue=lambda: left_open)
        assert lai.shutdown(20.0)

        assert f"Started session: {first['session_id']}" in capsys.readouterr().out
        assert 1 == lai.get_session(left_open).spans

    def test_error_recovery(self, captured, tmp_path, monkeypatch):
        """What was saved before the failure is there after it, in the same session."""
        monkeypatch.chdir(tmp_path)
        recovered = []

        def process_part_1():
            checkpoint = {"session_id": lai.current_session_id(), "data": [1, 2]}
            import pickle

            Path("checkpoint.pkl").write_bytes(pickle.dumps(checkpoint))
            raise RuntimeError("crashed")

        found = pages.run(
            self.page, "checkpoint.pkl", process_part_1=process_part_1, process_part_2=recovered.append
        )

        assert [[1, 2]] == recovered
        assert found["session_id"] == lai.current_session_id()

    def test_error_handling(self, capsys):
        """An unknown session is the second branch of the documented handler."""
        pages.run(self.page, "invalid-session", lai=lai)

        assert "Session may already be active or does not exist\n" == capsys.readouterr().out


class TestOpenInferenceSessions:
    page = "openinference-sessions.md"

    @pytest.fixture
    def llm(self, captured, server):
        from langchain_openai import ChatOpenAI

        with lai.instrument("langchain"):
            yield ChatOpenAI(model="gpt-4o-mini", stream_usage=False)

    def test_setup(self, captured, llm):
        """OpenInference's own block names the session of every span inside."""
        found = pages.run(self.page, 'using_session(session_id="user_123', llm=llm, prompt="Hi")

        assert "You said: Hi" == found["response"].content
        assert {"user_123_conv_456"} == set(captured.session_ids().values())

    def stand_in(self):
        return SimpleNamespace(
            chat=SimpleNamespace(completions=SimpleNamespace(create=lambda _: plain("completion")))
        )

    def test_attribute_on_one_span_is_on_that_span_alone(self, captured):
        """The document's bad example: the children are not claimed."""
        with trace.get_tracer("user").start_as_current_span("parent"):
            pages.run(self.page, "get_current_span", client=self.stand_in(), session_id="user_1_conv_2")

        assert {"completion": None, "parent": "user_1_conv_2"} == captured.session_ids()

    def test_block_is_on_every_span(self, captured):
        """The document's good example: plain spans inside the block have the session, from a thread pool too."""
        from openinference.instrumentation import using_session

        def my_custom_function():
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(1) as pool:
                pool.submit(plain, "custom").result()

        with lai.session("switches threading on"):
            pass
        names = {"using_session": using_session, "my_custom_function": my_custom_function}
        pages.run(
            self.page, "my_custom_function", client=self.stand_in(), session_id="user_1_conv_2", **names
        )

        assert {"completion": "user_1_conv_2", "custom": "user_1_conv_2"} == captured.session_ids()

    def test_ids_are_kept_exactly(self, captured):
        """Each of the documented patterns is an id as it is."""
        found = pages.run(
            self.page, "timestamp", user_id="7", conversation_id="9", timestamp="2025-07-11T10:00"
        )
        with lai.bind_session(found["session_id"]):
            assert "debug_2025-07-11T10:00" == lai.current_session_id()

    def test_conversations_of_two_users_interleaved(self, captured, server):
        """Five turns each: two sessions, and each turn is a trace of its own."""
        from openai import OpenAI

        with lai.instrument("openai"), OpenAI() as client:
            users = [pages.run(self.page, "send_message", client=client) for _ in range(2)]
            for turn in range(5):
                for index, user in enumerate(users):
                    assert f"You said: {index}-{turn}" == user["send_message"](f"{index}-{turn}")

        spans = llm_spans(captured)

        assert [user["session_id"] for user in users] * 5 == [session_id_of(span) for span in spans]
        assert 10 == len({span.context.trace_id for span in spans})

    def test_additional_attributes(self, captured, llm):
        """user.id, session and metadata are on every span of the block."""
        pages.run(self.page, "using_attributes", llm=llm, prompt="Hi")

        for span in captured.spans:
            assert ("user_123", "conv_456") == (span.attributes["user.id"], session_id_of(span))
            assert "premium" in span.attributes["metadata"]

    def test_langchain_thread_is_a_session(self, captured, llm):
        """A thread id in LangChain's metadata names the session of the run."""
        from langchain_core.messages import HumanMessage

        pages.run(self.page, "user_123_thread", llm=llm, HumanMessage=HumanMessage)

        assert {"user_123_thread"} == set(captured.session_ids().values())


class TestContextVariables:
    page = "context-variables.md"

    def test_printed_form_works_in_its_simple_case(self):
        """The printed form sets, gets and injects in a coroutine function; ours does too."""
        printed = pages.run(self.page, "_session_id")

        async def main():
            for form in (
                SimpleNamespace(**{name: printed[name] for name in ("set", "get", "bind")}),
                lai.context,
            ):
                assert "unknown" == form.get()
                form.set("allocated-session")

                @form.bind
                async def target(session_id=None):
                    return session_id

                assert ("allocated-session", "allocated-session") == (form.get(), await target())

        asyncio.run(main())

    def test_fastapi_middleware_and_background_task(self, captured):
        """The documented middleware gives route and background task the header's id, or a new one."""
        app = FastAPI()
        names = {"context": lai.context, "Request": Request, "uuid4": uuid4}
        pages.run(self.page, "attach_session", app=app, **names)
        background_process = pages.run(self.page, "background_process(session_id", **names)[
            "background_process"
        ]
        seen = []

        async def task(session_id=None):
            await background_process(session_id)
            seen.append(lai.context.get())

        @app.get("/")
        async def route(tasks: BackgroundTasks):
            tasks.add_task(task)
            tasks.add_task(task, "of-the-background-task")
            plain("route")
            return lai.context.get()

        with TestClient(app) as client:
            given = client.get("/", headers={"X-Session-Id": "header-session-123"}).json()
            made = client.get("/").json()

        assert "header-session-123" == given
        assert UUID(made)
        assert ["header-session-123", "of-the-background-task", made, "of-the-background-task"] == seen

    def test_our_middleware_page_block(self, captured):
        """The page's own application gives routes the header's session."""
        app = pages.run(self.page, "SessionMiddleware")["app"]

        @app.get("/session")
        def route():
            return lai.context.get()

        with TestClient(app) as client:
            assert (
                "header-session-123"
                == client.get("/session", headers={"X-Session-Id": "header-session-123"}).json()
            )

    def test_hook(self, captured):
        """A hook sees the id and puts it on the current span; without a session nothing is exported."""
        hook = pages.run(self.page, "before_llm_generate", context=lai.context, trace=trace)[
            "before_llm_generate"
        ]
        tracer = trace.get_tracer("user")
        with tracer.start_as_current_span("without"):
            asyncio.run(hook(None, "prompt"))
        with lai.bind_session("hook-session-1234"), tracer.start_as_current_span("with"):
            asyncio.run(hook(None, "prompt"))

        assert {"without": None, "with": "hook-session-1234"} == captured.session_ids()
        assert "session.id" not in captured.named("without").attributes

    def test_create_task(self, captured):
        """A new task inherits the session."""

        async def background_process():
            return lai.context.get()

        async def then(space):
            return await space["task"]

        lai.context.set("inherited-session")
        names = {"asyncio": asyncio, "background_process": background_process}

        assert "inherited-session" == pages.run_in_loop(self.page, "create_task", then, **names)

    def test_in_tests(self, captured):
        """A test sets the session and its workflow sees it; the next test does not."""

        async def my_workflow():
            plain("workflow")

        async def then(space):
            await space["test_workflow"]()

        pages.run_in_loop(self.page, "test_workflow", then, context=lai.context, my_workflow=my_workflow)

        assert {"workflow": "test-session-123"} == captured.session_ids()
        assert "unknown" == lai.context.get()


def test_every_block_of_every_page_is_run_by_a_test_above():
    """A block that no test names would be a claim that nobody checks."""
    source = Path(__file__).read_text()
    for page, code in pages.blocks():
        quoted = [
            word
            for line in source.splitlines()
            if "self.page" in line or line.strip().startswith(('"', "'"))
            for word in line.replace("'", '"').split('"')[1::2]
        ]
        assert any(word and word in code for word in quoted), (page, code)


def test_capture_is_not_left_behind():
    """Instrumentations of a block end with it: after capture_spans() no client is instrumented."""
    with capture_spans():
        lai.init(providers=["openai"])
    from openinference.instrumentation.openai import OpenAIInstrumentor

    assert not OpenAIInstrumentor().is_instrumented_by_opentelemetry
