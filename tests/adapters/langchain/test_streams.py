"""Streams of every kind: their session, their first token, and that they are what they are without us."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableGenerator, RunnableLambda, RunnableParallel
from langgraph.graph import START, StateGraph
from opentelemetry.trace import StatusCode

import lucidic as lai
from lucidic.asgi import SessionMiddleware
from lucidic.testing import session_id_of


pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


def _graph(lc):
    def node(state, config):
        return {"out": lc.chat("a b").invoke("x", config).content}

    return StateGraph(dict).add_node("node", node).add_edge(START, "node").compile(name="graph")


def _echo(steps):
    yield from steps


async def _aecho(steps):
    async for step in steps:
        yield step


def _kinds(lc):
    return {
        "sequence": RunnableLambda(lambda x: x) | lc.chat("a b") | StrOutputParser(),
        "model": lc.chat("a b"),
        "text": lc.Text(responses=["a"]),
        "lambda": RunnableLambda(lambda x: x),
        "generator": RunnableGenerator(_echo, _aecho),
        "binding": lc.chat("a b").with_config(tags=["red"]),
        "fallbacks": lc.chat("a b").with_fallbacks([lc.chat("c")]),
        "parallel": RunnableParallel(a=lc.chat("a b")),
        "graph": _graph(lc),
    }


async def _consume(stream):
    if hasattr(stream, "__aiter__"):
        return [item async for item in stream]
    return list(stream)


def _stream(kinds, kind, how, config):
    given = {"in": 1} if kind == "graph" else "x"
    options = {"version": "v2"} if how == "astream_events" else {}
    return getattr(kinds[kind], how)(given, config, **options)


KINDS = ("sequence", "model", "text", "lambda", "generator", "binding", "fallbacks", "parallel", "graph")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["stream", "astream", "astream_events"])
async def test_begun_after_its_block(lc, config, captured, kind, how):
    """A stream that is made inside a block and begun after it belongs to the block's session, the next does not."""
    kinds = _kinds(lc)
    with lai.bind_session("s-1"), lai.using_attributes(user_id="u-1"):
        stream = _stream(kinds, kind, how, config)
    assert await _consume(stream)
    assert {session_id_of(span) for span in captured.spans} == {"s-1"}
    (root,) = [span for span in captured.spans if span.parent is None]
    assert root.attributes["user.id"] == "u-1"
    captured.clear()
    await _consume(_stream(kinds, kind, how, config))
    assert {session_id_of(span) for span in captured.spans} == {None}


def test_begun_in_another_block(lc, config, captured):
    """A block around the consumer is nearer than the one in which the stream was made."""
    with lai.bind_session("made"):
        stream = lc.chat("a b").stream("x", config)
    with lai.bind_session("consumed"):
        list(stream)
    assert {session_id_of(span) for span in captured.spans} == {"consumed"}


@pytest.mark.parametrize("how", ["astream", "astream_events"])
async def test_begun_by_a_generator_that_has_yielded_before(lc, config, captured, how):
    """The block of the generator that begins it holds, user and all, whatever others have entered meanwhile."""

    async def conversation(name):
        with lai.using_attributes(session_id=f"session-{name}", user_id=name):
            yield
            stream = _stream(_kinds(lc), "graph", how, {**config, "run_name": name})
            assert await _consume(stream)

    one, other, stepped = map(conversation, ("ann", "bob", "cay"))
    for step in (one, other, one, other):
        await anext(step, None)
    for _ in range(2):
        await asyncio.create_task(anext(stepped, None))

    found = {}
    for span in captured.spans:
        found.setdefault(span.context.trace_id, set()).add((session_id_of(span), span.attributes["user.id"]))
    assert [{(f"session-{name}", name)} for name in ("ann", "bob", "cay")] == list(found.values())
    roots = [(span.name, span.attributes["user.id"]) for span in captured.spans if span.parent is None]
    assert [(name, name) for name in ("ann", "bob", "cay")] == roots


@pytest.mark.parametrize("bound_by", ["middleware", "generator", "endpoint"])
async def test_streaming_response(lc, config, captured, bound_by):
    """A streamed answer of a web server is in the request's session, however bound; what follows is not."""
    from starlette.applications import Starlette
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    chain = RunnableLambda(lambda x: x, name="f") | lc.chat("a b c") | StrOutputParser()

    async def within():
        with lai.bind_session("request-session-1"):
            async for chunk in chain.astream("x", config):
                yield chunk

    async def endpoint(request):
        if bound_by == "generator":
            return StreamingResponse(within())
        if bound_by == "endpoint":
            with lai.bind_session("request-session-1"):
                return StreamingResponse(chain.astream("x", config))
        return StreamingResponse(chain.astream("x", config))

    app = Starlette(routes=[Route("/", endpoint)])
    served = SessionMiddleware(app) if bound_by == "middleware" else app
    body = []

    async def receive():
        await asyncio.Event().wait()  # the client stays

    async def send(message):
        body.append(message.get("body", b""))

    headers = [(b"x-session-id", b"request-session-1")]
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers}
    # As a server does it: the response is consumed in the very task that goes on with other work.
    await served(scope, receive, send)
    lc.user("after")
    assert b"".join(body) == b"a b c"
    by_name = captured.session_ids()
    assert by_name.pop("after") is None
    assert set(by_name.values()) == {"request-session-1"}
    assert len(by_name) >= 5


@pytest.mark.parametrize("version", ["v1", "v3"])
async def test_first_token(lc, config, tree, version):
    """A stream has one event for its first token, also as events of version 3."""
    if version == "v1":
        list(lc.chat("a b c").stream("x", config))
        await _consume(lc.chat("a b c").astream("x", config))
    elif hasattr(lc.Chat, "_iter_v2_events"):
        list(lc.chat("a b c").stream_events("x", config, version="v3"))
        await _consume(await lc.chat("a b c").astream_events("x", config, version="v3"))
        await lc.settled()
    else:
        pytest.skip("this langchain-core has no stream_events of version 3")
    events = [[event.name for event in span.events] for span in tree.of_kind("LLM")]
    assert events == [["First Token Stream Event"]] * 2


@pytest.mark.parametrize("how", ["stream", "astream", "astream_events", "break"])
async def test_the_question_of_a_stream(lc, config, tree, how):
    """A streamed chain's input is the user's words, which LangChain reads after the chain has started."""
    chain = RunnableLambda(lambda given: given["question"]) | lc.chat("a b c") | StrOutputParser()
    given = {"question": "why?"}
    if how == "break":
        stream = chain.astream(given, config)
        await anext(stream)
        await stream.aclose()
        await lc.settled()
    elif how == "astream_events":
        await _consume(chain.astream_events(given, config, version="v2"))
    else:
        await _consume(getattr(chain, how)(given, config))
    (root,) = [span for span in tree.spans if span.parent is None]
    assert root.attributes["input.value"] == "why?"
    assert [span for span in tree.spans if span.attributes.get("input.value") == '{"input": ""}'] == []


async def test_what_was_said_before_a_break(lc, config, tree):
    """A chain's stream that is left early keeps what its model had said, though LangChain tells it too late."""
    stream = (lc.chat("a b c") | StrOutputParser()).astream("x", config)
    said = await anext(stream) + await anext(stream)
    await stream.aclose()
    await lc.settled()
    found = tree.one("LLM").attributes
    assert found["lucidic.stopped_early"]
    assert found["output.value"].startswith(said)
    assert found["llm.output_messages.0.message.content"] == found["output.value"]


def test_an_empty_question(lc, config, tree):
    """An empty input that somebody really gave is shown."""
    RunnableLambda(str).invoke({"input": ""}, config)
    assert tree.one("CHAIN").attributes["input.value"] == '{"input": ""}'


async def test_the_answer_of_events_of_version_3(lc, config, tree, version_3):
    """Events of version 3 that are read to their end give the answer, and the session of the call."""
    config = {**config, "configurable": {"thread_id": "t-1"}}
    list(lc.chat("a b c").stream_events("x", config, version="v3"))
    await _consume(await lc.chat("a b c").astream_events("x", config, version="v3"))
    await lc.settled()
    for span in tree.of_kind("LLM"):
        assert span.attributes["output.value"] == "a b c"
        assert span.attributes["lucidic.session_id"] == "t-1"
        assert span.status.is_ok
        assert "lucidic.stopped_early" not in span.attributes


def test_graph_events_of_version_3(lc, config, tree, version_3):
    """Model calls below a graph's synchronous events of version 3 keep their children."""
    list(_graph(lc).stream_events({"in": 1}, config, version="v3"))
    assert set(tree.kinds_above("in-model")) == {"LLM"}
    assert tree.names_above("Chat") == ["node"]


@pytest.mark.parametrize("how", ["stream", "astream", "graph"])
async def test_early_stop(lc, config, tree, how):
    """Leaving a stream early is no error for anything, and the part of the answer that came is kept."""
    if how == "graph":
        stream = _graph(lc).stream({"in": 1}, config, stream_mode="messages")
        next(stream)
        stream.close()
    elif how == "stream":
        stream = (lc.chat("one two") | StrOutputParser()).stream("x", config)
        next(stream)
        stream.close()
    else:
        stream = lc.chat("one two three").astream("x", config)
        await anext(stream)
        await stream.aclose()
        assert tree.one("LLM").attributes["output.value"] == "one"
        assert tree.one("LLM").attributes["lucidic.stopped_early"] is True
    assert tree.spans
    assert not [span.name for span in tree.spans if span.status.status_code is StatusCode.ERROR]


def _plain(item):
    """Make two runs comparable: ids differ from run to run, and so do the moments."""
    if isinstance(item, dict):
        hidden = ("run_id", "parent_ids", "id", "ts", "timestamp", "checkpoint_ns", "langgraph_checkpoint_ns")
        return {key: _plain(value) for key, value in item.items() if key not in hidden}
    if isinstance(item, list | tuple):
        return [_plain(value) for value in item]
    return (type(item).__name__, item.content) if hasattr(item, "content") else item


@pytest.mark.parametrize("what", ["messages", "events", "chunks"])
async def test_the_same_as_without(lc, handler, what):
    """What streams yield, chunk by chunk and event by event, is the same with the handler and without."""

    async def all_of(config):
        model = GenericFakeChatModel(messages=iter([AIMessage("a b c")]))

        async def node(state, config):
            return {"out": (await model.ainvoke([HumanMessage("x", id="1")], config)).content}

        graph = StateGraph(dict).add_node("node", node).add_edge(START, "node").compile(name="graph")
        if what == "messages":
            stream = graph.astream({"in": 1}, config, stream_mode=["messages", "updates", "values"])
        elif what == "events":
            stream = graph.astream_events({"in": 1}, config, version="v2")
        else:
            stream = (RunnableLambda(lambda x: x) | model).astream("x", config)
        return [_plain(item) async for item in stream]

    assert await all_of({"callbacks": [handler]}) == await all_of({})


async def test_functions_of_streams(lc, config):
    """A model's ``stream`` is still a generator function to LangChain, which then joins what it yields."""
    assert RunnableLambda(lc.chat("a b").stream).invoke("x", config).content == "a b"
    assert (await RunnableLambda(lc.chat("a b").astream).ainvoke("x", config)).content == "a b"
