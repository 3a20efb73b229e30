"""Sessions in the cells of a real kernel."""

from __future__ import annotations

import json
import os

import pytest
from tests.notebooks.kernel import started


pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]

BEGIN = """
%load_ext lucidic
import asyncio, threading
import lucidic as lai
from opentelemetry import trace

def span(name="work"):
    trace.get_tracer("cells").start_span(name).end()

def whose(name):
    from lucidic._runtime import runtime
    lai.flush()
    store = runtime().exporter.store
    ids = {found.session_id for found in store.spans() if found.name == name}
    known = store.session(*ids - {None}) if ids - {None} else None
    return known.name if known else None
"""


@pytest.fixture(scope="module")
def _kernel(tmp_path_factory):
    with started(tmp_path_factory.mktemp("kernel") / "home") as kernel:
        yield kernel


@pytest.fixture
def kernel(_kernel):
    """A kernel in which nothing is bound."""
    _kernel.value(BEGIN)
    yield _kernel
    _kernel.value("while lai.current_session_id(): lai.end_session()")
    _kernel.value("lai.current_session_id()")


AWAIT = "await asyncio.sleep(0)\n"


@pytest.mark.parametrize("before", ["", AWAIT], ids=["plain", "awaits"])
@pytest.mark.parametrize("after", ["", AWAIT], ids=["plain", "awaits"])
@pytest.mark.parametrize(
    "enter",
    ["lai.init('entered')", "%session entered", "scope = lai.session('entered'); scope.__enter__()"],
    ids=["init", "magic", "scope"],
)
def test_a_session_holds_in_the_next_cells(kernel, enter, before, after):
    """Whether the cells await or not: entered in one, there in the next, and left in a third for all that follow."""
    leave = "_ = scope.__exit__(None, None, None)" if "scope" in enter else "lai.end_session()"
    name = f"{len(enter)}-{len(before)}-{len(after)}"
    kernel.value(f"{before}{enter}")
    kernel.value(f"{after}span('inside {name}')")
    kernel.value(f"{before}{leave}")
    kernel.value(f"span('outside {name}')")
    assert kernel.value(f"whose('inside {name}')") == "'entered'"
    assert kernel.value(f"whose('outside {name}') is None") == "True"


@pytest.mark.parametrize("first", ["", AWAIT], ids=["plain", "awaits"])
@pytest.mark.parametrize("second", ["", AWAIT], ids=["plain", "awaits"])
def test_the_session_entered_last_counts(kernel, first, second):
    """A cell that awaits enters another session: the older one of the kernel's own context does not come back."""
    kernel.value(f"%session --quiet older\n{first}")
    kernel.value(f"%session --quiet newer\n{second}")
    assert "newer" in kernel.run("%session").printed
    kernel.value(f"{first}lai.end_session()")
    assert "older" in kernel.run("%session").printed


def test_a_name_goes_on_with_its_session(kernel):
    """Cells of one name are one session, with what its options say; --new begins another, --id names any."""
    kernel.value("%session --quiet 'Trip planning' --user u-7 --tag beta --tag travel --task plan")
    first = kernel.value("lai.current_session_id()")
    kernel.value("%session --quiet other")
    kernel.value("%session --quiet Trip planning")
    assert kernel.value("lai.current_session_id()") == first
    said = kernel.value("__import__('json').dumps(dict(lai.get_session().fields))")
    fields = json.loads(said.strip("'"))
    assert (fields["user_id"], fields["tags"], fields["task"]) == ("u-7", ["beta", "travel"], "plan")
    kernel.value("%session --quiet Trip planning --new")
    assert kernel.value("lai.current_session_id()") != first
    kernel.value("chosen = 'thread-of-my-own'\n%session --quiet --id {chosen}")
    assert kernel.value("lai.current_session_id()") == "'thread-of-my-own'"


def test_a_cell_that_begins_with_the_magic_is_a_usual_cell(kernel):
    """It may await, has a value, and shows the session with the spans of this very cell."""
    shown = kernel.run("%%session Chat\nawait asyncio.sleep(0)\nspan('of this cell')\n6 * 7")
    assert (shown.value, shown.error) == ("42", "")
    assert "of this cell" in shown.html
    assert [kind for kind, place, _ in shown.displays if place][0] == "display_data"
    assert kernel.run("%%session Chat --quiet\nspan()").displays == []


def test_an_error_in_a_cell_is_the_cells_own(kernel):
    """The error comes out unchanged, the session holds; with --end it is over, and unsuccessful."""
    shown = kernel.run("%%session Failing\nspan('fails')\nraise ValueError('boom')")
    assert shown.error == "ValueError: boom"
    assert "fails" in shown.html
    assert "Failing" in kernel.run("%session").printed
    shown = kernel.run("%%session Failing --end\nawait asyncio.sleep(0)\nraise KeyError('over')")
    assert shown.error == "KeyError: 'over'"
    assert "not successful" in str(shown.displays[-1][2])
    assert "No session" in kernel.run("%session").printed


@pytest.mark.parametrize("line", ["%session --nope", "%%session 'open\n1", "%session --id ' '"])
def test_misuse_is_one_line(kernel, line):
    """No stack trace, the rest of the cell does not run, and nothing is bound."""
    shown = kernel.run(line)
    assert shown.printed.startswith("UsageError: ")
    assert shown.value == ""
    assert "No session" in kernel.run("%session").printed


def test_tasks_and_threads_of_a_cell_bind_for_themselves(kernel):
    """What a background task enters is not taken for what the next cell is in, and keeps its own session."""
    kernel.value(
        "entered, go = asyncio.Event(), asyncio.Event()\n"
        "async def background():\n"
        "    async with lai.session('background'):\n"
        "        entered.set()\n"
        "        await go.wait()\n"
        "        span('of the task')\n"
        "task = asyncio.ensure_future(background())\n"
        "await entered.wait()\n"
        "with lai.session('in a thread'):\n"
        "    pass"
    )
    assert "No session" in kernel.run("%session").printed
    kernel.value("%session --quiet foreground\ngo.set()\nawait task")
    assert kernel.value("whose('of the task')") == "'background'"


# The kernel's loop notices an interrupt when it next wakes.
@pytest.mark.parametrize(
    "wait", ["while True: await asyncio.sleep(0.05)", "threading.Event().wait(3600)"], ids=["awaits", "plain"]
)
def test_an_interrupted_cell_loses_nothing(kernel, wait):
    """The spans so far are shown, and the session holds in the next cell."""

    def interrupt(message):
        if message["msg_type"] == "stream":
            kernel.manager.interrupt_kernel()

    shown = kernel.run(
        f"%%session Interrupted --new\nspan('before')\nprint('now', flush=True)\n{wait}", on_message=interrupt
    )
    assert "KeyboardInterrupt" in shown.error or "CancelledError" in shown.error
    assert "before" in shown.html
    assert "Interrupted" in kernel.run("%session").printed


@pytest.mark.parametrize("show", ["lai.show()", "lai.show(lai.current_session_id())", "%session\nlai.show()"])
def test_a_display_follows_its_cell(kernel, tmp_path, show):
    """The front end gets the first span while the cell still waits for exactly that, and the last one at its end."""
    seen = tmp_path / "seen"
    os.mkfifo(seen)
    told = []

    def tell(message):
        if message["msg_type"] == "update_display_data" and not told:
            told.append(message["content"]["data"]["text/html"])
            seen.write_text("seen")

    shown = kernel.run(
        f"%session --quiet Followed --new\n{show}\nspan('first')\nopen({str(seen)!r}).read()\nspan('second')\n"
        "lai.show()",
        on_message=tell,
    )
    assert "first" in told[0]
    assert "second" not in told[0]
    assert "second" in shown.html
    assert len({place for _, place, _ in shown.displays}) == 1, "the last value is not displayed twice"


def test_showing_starts_no_thread_before_a_span(kernel):
    """A display waits for the first span without a thread, and leaves none behind."""
    count = "sum(thread.name == f'lucidic-display-{lai.current_session_id()}' for thread in threading.enumerate())"
    kernel.value("%session --quiet Quiet")
    assert kernel.value(f"lai.show()\n{count}") == "0"


def test_a_scope_displays_its_session(kernel):
    """The object that the block was made of is a picture of its session, and a line before that."""
    shown = kernel.run("scope = lai.session('As a scope')\nwith scope:\n    span('in the scope')\nscope")
    assert "in the scope" in shown.html
    assert "Session As a scope" in shown.value
    assert kernel.value("lai.session('later')") == "<Scope without a session>"


def test_a_restarted_kernel_goes_on_by_id(kernel):
    """What was finished before the restart is there, and the id continues it."""
    kernel.value("%session --quiet Before\nspan('before the restart')")
    known = kernel.value("lai.current_session_id()").strip("'")
    kernel.restart()
    kernel.value(BEGIN)
    shown = kernel.run(f"%%session --id {known}\nspan('after the restart')")
    assert "before the restart" in shown.html
    assert "after the restart" in shown.html


def test_unloading_takes_the_magic_away(kernel):
    """And loading it again, or twice, is as good as once."""
    kernel.value("%reload_ext lucidic\n%load_ext lucidic\n%unload_ext lucidic")
    assert "not found" in kernel.run("%session").printed
    kernel.value("%load_ext lucidic")
    assert "No session" in kernel.run("%session").printed
