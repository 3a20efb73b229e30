"""Steps and events: spans below the current one, by explicit calls and by decorators."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from opentelemetry import trace

import lucidic as lai
from lucidic.errors import InvalidOperationError, NotInitializedError
from lucidic.testing import session_id_of


def plain(name):
    with trace.get_tracer("user").start_as_current_span(name):
        pass


def parent_of(captured, name):
    span = captured.named(name)
    return None if span.parent is None else span.parent.span_id


def test_step_is_the_parent_of_what_follows_until_it_ends(captured):
    """What runs between create_step and end_step hangs below the step; what follows does not."""
    sid = lai.init("x")
    step_id = lai.create_step(state="here", action="go", goal="there")
    plain("inside")
    lai.end_step(eval_score=0.5)
    plain("after")

    step = captured.named("step")

    assert isinstance(step_id, str)
    assert step_id == step.attributes["lucidic.step_id"]
    assert step.context.span_id == parent_of(captured, "inside")
    assert parent_of(captured, "after") is None
    assert {"here", "go", "there", 0.5} == {
        step.attributes[f"lucidic.step.{field}"] for field in ("state", "action", "goal", "eval_score")
    }
    assert sid == session_id_of(step)


def test_steps_stack_and_events_are_below_the_innermost(captured):
    """A step inside a step hangs below it, an event below the innermost, and updates go to the innermost."""
    lai.init("x")
    outer = lai.create_step(state="outer")
    inner = lai.create_step(state="inner")
    lai.update_step(goal="of the inner")
    lai.create_event(description="ask", model="gpt-4o-mini")
    lai.end_event(result="answer", cost_added=0.25)
    lai.end_step()
    lai.end_step()

    by_id = {span.attributes["lucidic.step_id"]: span for span in captured.spans if span.name == "step"}
    event = captured.named("event")

    assert by_id[outer].context.span_id == by_id[inner].parent.span_id
    assert by_id[inner].context.span_id == event.parent.span_id
    assert "of the inner" == by_id[inner].attributes["lucidic.step.goal"]
    assert ("LLM", "gpt-4o-mini", "ask", "answer", 0.25) == tuple(
        event.attributes[key]
        for key in (
            "openinference.span.kind",
            "llm.model_name",
            "input.value",
            "output.value",
            "lucidic.event.cost_added",
        )
    )


def test_ending_a_step_ends_the_events_in_it(captured):
    """An event that nobody ended ends with its step, before it."""
    lai.init("x")
    lai.create_step()
    lai.create_event(function_name="search", arguments={"q": "lisbon"})
    lai.end_step()

    assert ["search", "step"] == [span.name for span in captured.spans]
    assert "TOOL" == captured.named("search").attributes["openinference.span.kind"]
    assert {"q": "lisbon"} == json.loads(captured.named("search").attributes["lucidic.event.arguments"])


def test_end_session_ends_open_steps_first(captured):
    """Unfinished steps and events are closed by the session's end and leave nothing current."""
    lai.init("x")
    lai.create_step()
    lai.create_event(description="open")
    lai.end_session()
    plain("after")

    assert ["event", "step", "after"] == [span.name for span in captured.spans]
    assert parent_of(captured, "after") is None


def test_screenshots_are_kept_from_path_and_base64(captured, tmp_path):
    """An image is kept as a data URI from a file, and as given from base64."""
    picture = tmp_path / "shot.png"
    picture.write_bytes(b"\x89PNG")
    lai.init("x")
    lai.create_step(screenshot_path=str(picture))
    lai.create_event(screenshots=[str(picture), "aGVsbG8="])
    lai.end_step()

    uri = "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()

    assert uri == captured.named("step").attributes["lucidic.step.screenshot"]
    assert (uri, "aGVsbG8=") == captured.named("event").attributes["lucidic.event.screenshots"]


def test_errors_say_the_way_out(captured, tmp_path):
    """Without a session, a step, or a readable image the error tells what to do."""
    with pytest.raises(NotInitializedError, match=r"lai\.init"):
        lai.create_step(state="x")
    with pytest.raises(NotInitializedError, match=r"lai\.init"):
        lai.create_event(description="x")
    lai.init("x")
    for call in (lai.update_step, lai.end_step):
        with pytest.raises(InvalidOperationError, match=r"no active step.*lai\.create_step"):
            call()
    for call in (lai.update_event, lai.end_event):
        with pytest.raises(InvalidOperationError, match="'gone' is not active"):
            call("gone")
    with pytest.raises(InvalidOperationError, match="cannot be read"):
        lai.create_step(screenshot_path=str(tmp_path / "none.png"))


def test_steps_of_concurrent_tasks_do_not_meet(captured):
    """Each task has its own stack of steps."""

    async def work(name):
        async with lai.session(session_id=f"session-of-{name}-123"):
            lai.create_step(state=name)
            await asyncio.sleep(0)
            plain(f"in-{name}")
            await asyncio.sleep(0)
            lai.end_step()

    async def main():
        await asyncio.gather(*(work(f"task{index}") for index in range(5)))

    asyncio.run(main())

    steps = {span.attributes["lucidic.step.state"]: span for span in captured.spans if span.name == "step"}
    for name, step in steps.items():
        assert step.context.span_id == captured.named(f"in-{name}").parent.span_id
        assert f"session-of-{name}-123" == session_id_of(step)


@pytest.mark.parametrize("decorate", [lai.event, lai.step, lai.event(description="d"), lai.step(goal="g")])
def test_decorators_change_nothing_for_the_caller(captured, decorate):
    """Bare or with arguments: results, yielded values, kinds, names and errors are the function's own."""
    import inspect

    @decorate
    def plain_function(x):
        return x

    @decorate
    async def coroutine_function(x):
        return x

    @decorate
    def generator_function(x):
        received = yield x
        yield received
        return "done"

    @decorate
    async def async_generator_function(x):
        yield x
        yield x + 1

    @decorate
    def failing():
        raise KeyError("boom")

    async def collect():
        return [item async for item in async_generator_function(1)]

    lai.init("x")
    marker = object()
    generator = generator_function(1)

    assert marker is plain_function(marker)
    assert marker is asyncio.run(coroutine_function(marker))
    assert 1 == next(generator)
    assert "sent" == generator.send("sent")
    with pytest.raises(StopIteration, match="done"):
        next(generator)
    assert [1, 2] == asyncio.run(collect())
    with pytest.raises(KeyError):
        failing()
    assert "plain_function" == plain_function.__name__
    assert inspect.iscoroutinefunction(coroutine_function)
    assert inspect.isgeneratorfunction(generator_function)
    assert inspect.isasyncgenfunction(async_generator_function)
    assert 5 == len(captured.spans)
    assert "ERROR" == captured.named("failing").status.status_code.name


def test_decorators_never_consume_an_iterator(captured):
    """Iterators that go in or come out are the caller's to consume."""

    @lai.event
    def total(items):
        return sum(items)

    @lai.event
    def passes_on(items):
        return items

    lai.init("x")

    assert 6 == total(iter([1, 2, 3]))
    assert [1, 2, 3] == list(passes_on(iter([1, 2, 3])))
    assert [0, 1] == list(passes_on(index for index in range(2)))


def test_decorator_works_without_a_session(captured):
    """A decorated function runs as it is where no session is open."""

    @lai.step
    def work():
        return 7

    assert 7 == work()
    assert session_id_of(captured.named("work")) is None


def test_spans_inside_a_decorated_function_are_below_it(captured):
    """The call's span is current while the function runs, in each step of a generator too."""

    @lai.event
    def stream():
        plain("one")
        yield 1
        plain("two")
        yield 2

    lai.init("x")
    for _ in stream():
        assert not trace.get_current_span().get_span_context().is_valid

    span_id = captured.named("stream").context.span_id
    assert {span_id} == {parent_of(captured, "one"), parent_of(captured, "two")}
