"""Long lists and sessions in a real browser: what is near the screen is there, and where the reader is stays."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.view.browser import needs_chromium, watched


sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect

pytestmark = [pytest.mark.slow, needs_chromium]
SESSION = "/session?id=thread-42"
PARTS = "**/part/sessions*"


@pytest.fixture
def thousand(reader, trip):
    """A thousand sessions; "Trip planning" is the newest and "Trip 999" the oldest."""
    for number in range(1, 1_000):
        started = trip.session().started_ns - number
        reader.known.append(trip.session(session_id=f"s-{number}", name=f"Trip {number}", started_ns=started))


def elements(page) -> int:
    return page.evaluate("document.querySelectorAll('*').length")


def scroll_to_the_end(page, last) -> None:
    """Scroll until ``last`` is on the screen: what is loaded on the way has other heights than its placeholder."""
    for _ in range(40):
        page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
        try:
            last.wait_for(timeout=500)
        except sync_api.TimeoutError:
            continue
        return
    raise AssertionError("the end is never reached")


def test_five_thousand_spans_stay_a_small_page(page, reader, trip):
    """At the start, at the end and in between, the page holds what is near the screen and nothing else."""
    tool, root = trip.made[5], trip.made[0]
    for number in range(4_000):
        reader.kept.append(replace(tool, name=f"t{number}", span_id=f"{number + 10_000:016x}"))
    for number in range(1_000):
        later = {
            "start_ns": root.start_ns + (number + 1) * 10**9,
            "end_ns": root.end_ns + (number + 1) * 10**9,
        }
        reader.kept.append(
            replace(root, trace_id=f"{number + 100:032x}", span_id=f"{number + 50_000:016x}", **later)
        )
    reader.known[0] = replace(reader.known[0], spans=len(reader.kept), traces=1_003)
    page.goto(SESSION)
    page.locator("#turn-1").wait_for()
    assert elements(page) < 2_500
    assert len(page.content()) < 400_000
    scroll_to_the_end(page, page.locator("#turn-1003"))
    assert elements(page) < 4_000
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight / 3)")
    page.locator("a[data-span]").first.wait_for()
    assert elements(page) < 4_000


def test_a_thousand_sessions_stay_a_small_page(page, thousand):
    """The list holds what is near the screen, and its end is a scroll away."""
    page.goto("/")
    page.get_by_text("1,000 sessions").wait_for()
    assert elements(page) < 2_500
    scroll_to_the_end(page, page.get_by_role("link", name="Trip 999", exact=True))
    assert elements(page) < 5_000
    page.evaluate("window.scrollTo(0, 0)")
    page.get_by_role("link", name="Trip planning").wait_for()


def test_who_scrolls_up_while_the_list_is_read_anew_stays_there(page, reader, thousand):
    """Following the end never takes a reader back to it who has left it meanwhile."""
    page.goto("/")
    page.locator("#lc-live.lc-on").wait_for()
    scroll_to_the_end(page, page.get_by_role("link", name="Trip 999", exact=True))
    holding, held = True, []
    page.route(PARTS, lambda route: held.append(route) if holding else route.continue_())
    with page.expect_request(PARTS):
        reader.known[0] = replace(reader.known[0], spans=10_000)
    page.evaluate("window.scrollTo(0, 0)")
    holding = False
    for route in held:
        route.continue_()
    reader.known[0] = replace(reader.known[0], spans=20_000)
    page.get_by_text("20,000").wait_for()  # so the first reading is over
    assert page.evaluate("scrollY") == 0


def test_a_part_that_could_not_be_read_is_asked_for_again(browser, address, thousand):
    """A server that fails once leaves no hole in the list."""
    looking = watched(browser, address)
    with looking as tab:
        tab.route(PARTS, lambda route: route.fulfill(status=503), times=3)
        tab.goto("/")
        tab.get_by_text("1,000 sessions").wait_for()
        scroll_to_the_end(tab, tab.get_by_role("link", name="Trip 999", exact=True))
        assert "503" in looking.faults[0]
        looking.faults.clear()
