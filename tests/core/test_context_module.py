"""lucidic.context: set, get and bind, as the contextvars document describes them."""

from __future__ import annotations

import asyncio
import functools
import inspect

import pytest
from opentelemetry import trace

from lucidic import context
from lucidic.errors import InvalidSessionIDError
from lucidic.testing import session_id_of


def test_get_has_its_documented_default_and_it_is_never_exported(captured):
    """Without a session get() says "unknown", and no span carries that word."""
    with trace.get_tracer("t").start_as_current_span("s"):
        assert "unknown" == context.get()
        assert "mine" == context.get("mine")

    assert session_id_of(captured.named("s")) is None
    assert "unknown" not in captured.named("s").attributes.values()


@pytest.mark.parametrize("bad", ["", "unknown", None])
def test_set_refuses_what_is_no_id(captured, bad):
    """set() takes an id, not the word for none."""
    with pytest.raises(InvalidSessionIDError):
        context.set(bad)


def test_tasks_inherit_and_a_child_changes_only_itself(captured):
    """create_task copies the context: the child sees the id, and overrides it only for itself."""

    async def background(session_id=None):
        if session_id:
            context.set(session_id)
        await asyncio.sleep(0)
        return context.get()

    async def main():
        context.set("workflow-session-1")
        found = await asyncio.gather(background(), background("background-session"), background())
        assert ["workflow-session-1", "background-session", "workflow-session-1"] == found
        assert "workflow-session-1" == context.get()

    asyncio.run(main())


class Service:
    def method(self, x, session_id=None):
        return x, session_id


async def coroutine(x, session_id=None):
    return x, session_id


def plain(x, session_id=None):
    return x, session_id


def keyword_only(x, *, session_id):
    return x, session_id


def any_keyword(x, **options):
    return x, options.get("session_id")


def generator(x, session_id=None):
    yield x, session_id


def local_variable(x):
    session_id = "mine"
    return x, session_id


def positional_only(x, session_id="own", /):
    return x, session_id


@pytest.mark.parametrize(
    "function",
    [
        plain,
        keyword_only,
        any_keyword,
        Service().method,
        functools.partial(plain),
        functools.partial(keyword_only),
    ],
)
def test_bind_injects_where_the_target_accepts_it(captured, function):
    """The current session is given as session_id to whatever takes a keyword of that name."""
    context.set("bound-session-123")

    assert (1, "bound-session-123") == context.bind(function)(1)
    assert (1, "given") == context.bind(function)(1, session_id="given")


def test_bind_keeps_coroutine_and_generator_functions(captured):
    """A coroutine function stays one; a generator function still gives an iterator."""
    context.set("bound-session-123")

    assert inspect.iscoroutinefunction(context.bind(coroutine))
    assert (1, "bound-session-123") == asyncio.run(context.bind(coroutine)(1))
    assert [(1, "bound-session-123")] == list(context.bind(generator)(1))


def test_bind_leaves_positional_values_and_other_targets_alone(captured):
    """A value given by position wins, and what does not take a session_id is called as it is."""
    context.set("bound-session-123")

    assert (1, "positional") == context.bind(plain)(1, "positional")
    assert (1, "mine") == context.bind(local_variable)(1)
    assert (1, "own") == context.bind(positional_only)(1)
    assert 3 == context.bind(len)([1, 2, 3])


def test_bind_without_a_session_leaves_the_functions_default(captured):
    """Nothing is injected where there is no session."""
    assert (1, None) == context.bind(plain)(1)


def test_bind_keeps_the_functions_metadata(captured):
    """Name, docstring and signature are the function's own."""
    bound = context.bind(plain)

    assert ("plain", inspect.signature(plain)) == (bound.__name__, inspect.signature(bound))


def test_bind_decorates_methods_in_a_class(captured):
    """As a decorator in a class body it makes a method."""

    class Decorated:
        @context.bind
        def method(self, session_id=None):
            return self, session_id

    context.set("bound-session-123")
    made = Decorated()

    assert (made, "bound-session-123") == made.method()
