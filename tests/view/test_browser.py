"""The page in a real browser.

Needs a Chromium: LUCIDIC_CHROMIUM names it, or it is called chromium; `make browser` installs one on Debian.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from tests.view.browser import needs_chromium, watched


sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect

pytestmark = [pytest.mark.slow, needs_chromium]
SESSION = "/session?id=thread-42"


def row(page, text):
    return page.locator("a[data-span]", has_text=text)


def test_from_the_list_to_a_models_messages(page):
    """A click on the session, one on the row, and the messages are there beside the conversation."""
    page.goto("/")
    page.get_by_role("link", name="Trip planning").click()
    page.get_by_text("What is the weather in Paris").first.wait_for()
    page.locator("a.lc-k-model").first.click()
    panel = page.get_by_role("complementary", name="Span")
    panel.get_by_text("You are a travel agent.").first.wait_for()
    expect(panel.get_by_text("calls get_weather").first).to_be_visible()
    expect(page.locator("a[aria-current]")).to_have_count(1)
    panel.get_by_role("button", name="Close").click()
    expect(panel).to_be_hidden()


def test_the_keyboard_is_enough(page):
    """Tab, arrows, Enter, Escape, brackets and slash reach everything, and the focus is never lost."""
    page.goto(SESSION)
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the content")
    page.keyboard.press("/")
    expect(page.locator(":focus")).to_have_attribute("type", "search")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.span"):
            break
    expect(page.locator(":focus")).to_contain_text("travel")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator(":focus")).to_contain_text('get_weather(city="Paris")')
    page.keyboard.press("Enter")
    panel = page.get_by_role("complementary", name="Span")
    panel.get_by_text("21 °C, sunny").first.wait_for()
    expect(panel).to_be_focused()
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(page.locator(":focus")).to_contain_text('get_weather(city="Paris")')
    page.keyboard.press("]")
    expect(page.locator(":focus")).to_contain_text("Turn 2")
    page.keyboard.press("]")
    expect(page.locator(":focus")).to_contain_text("Turn 3")
    page.keyboard.press("[")
    expect(page.locator(":focus")).to_contain_text("Turn 2")
    page.keyboard.press("Enter")
    expect(page.locator("#turn-2")).not_to_have_attribute("open", "")


def test_new_spans_appear_and_the_readers_place_is_kept(page, reader, trip):
    """The page follows a running program: the open span stays open, the shut turn shut, the focus where it was."""
    page.goto(SESSION)
    page.locator("#lc-live.lc-on").wait_for()
    page.locator("#turn-2 > summary").click()
    row(page, 'tool get_weather(city="Paris")').click()
    page.locator("#lc-panel").get_by_text("21 °C, sunny").first.wait_for()
    row(page, "concierge").focus()
    late = replace(
        trip.made[0], trace_id="e" * 32, start_ns=trip.made[-1].end_ns, end_ns=trip.made[-1].end_ns + 9
    )
    reader.kept.append(late)
    reader.known[0] = replace(reader.known[0], spans=22, traces=4)
    page.locator("#turn-4").wait_for()
    expect(page.locator("#turn-2")).not_to_have_attribute("open", "")
    expect(page.locator(":focus")).to_contain_text("concierge")
    expect(page.locator("a[aria-current]")).to_contain_text("get_weather")
    expect(page.locator("#lc-panel")).to_be_visible()
    expect(page.locator(".lc-tile").first).to_have_text("4")


def test_a_link_to_a_span_shows_it(page, trip):
    """Whoever gets the link sees the row, marked and on the screen, and what is in it."""
    page.goto(f"{SESSION}&trace={trip.made[13].trace_id}&span={trip.made[13].span_id}")
    found = page.locator("a[aria-current]")
    expect(found).to_contain_text("book")
    expect(found).to_be_in_viewport()
    expect(page.locator("#lc-panel")).to_contain_text("no seats left on [bold]LX 632[/bold]")
    expect(page.locator("#lc-panel")).to_contain_text('File "app.py", line 7, in tool')
    page.get_by_role("link", name="Open alone").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("tool book")
    page.get_by_role("link", name="Trip planning").click()
    expect(page.locator("a[aria-current]")).to_contain_text("book")


def test_a_search_leads_to_the_span(page):
    """What is found is shown by turns, each with a link to its place."""
    page.goto(SESSION)
    page.get_by_role("searchbox").fill("Zürich")
    page.get_by_role("combobox").select_option("tool")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Search").click()
    page.get_by_text("1 span matches.").wait_for()
    row(page, "get_weather").click()
    page.locator("#lc-panel").get_by_text("rain", exact=True).wait_for()
    page.get_by_role("link", name="Show all turns").click()
    page.locator("#turn-3").wait_for()


def test_planted_scripts_do_nothing(page, reader, trip):
    """Scripts in the texts of a session neither run nor ask for anything, on the page and in an opened span."""
    canary = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
    image = "llm.input_messages.1.message.contents.{}.message_content.image.image.url"
    addresses = ("javascript:alert(3)", f"data:text/html,{canary}", f"data:image/png;base64,{canary}", canary)
    for place, span in enumerate(reader.kept):
        texts = {key: canary if isinstance(value, str) else value for key, value in span.attributes.items()}
        texts |= {"openinference.span.kind": span.attributes.get("openinference.span.kind", "")}
        texts |= {image.format(number): address for number, address in enumerate(addresses)}
        texts |= {f"key {canary}": json.dumps({canary: [canary, {canary: canary}]})}
        reader.kept[place] = replace(span, name=canary, attributes=texts, session_id=canary)
    fields = {"user_id": canary, "tags": [canary], "task": canary}
    reader.known[0] = trip.session(name=canary, session_id=canary, fields=fields)
    page.goto("/")
    page.get_by_role("link", name="onerror").click()
    page.locator(".lc-turn").first.wait_for()
    for number in range(page.locator("a[data-span]").count()):
        opened = page.locator("a[data-span]").nth(number)
        opened.click()
        expect(page.locator("#lc-span")).to_contain_text(f"span {opened.get_attribute('data-span')}")
        for folded in page.locator("#lc-span summary").all():
            folded.click()
    assert page.evaluate("document.querySelectorAll('img[src=x], main script').length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("place", ["list", "session", "span", "found", "export"])
def test_every_text_can_be_read(browser, address, trip, scheme, place):
    """Contrast of at least 4.5 against what is behind it, in both themes; AA of the accessibility guidelines."""
    span = trip.made[13]
    path = {
        "list": "/",
        "session": f"{SESSION}&trace={span.trace_id}&span={span.span_id}",
        "span": f"/span?trace={trip.made[3].trace_id}&id={trip.made[3].span_id}",
        "found": f"{SESSION}&q=Paris",
        "export": "/export?id=thread-42",
    }[place]
    with watched(browser, address, color_scheme=scheme) as tab:
        if place == "export":
            tab.set_content(tab.request.get(address + path).text())
        else:
            tab.goto(path)
        tab.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        faint = tab.evaluate(CONTRASTS)
    assert faint == []


CONTRASTS = """() => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = channels(getComputedStyle(at).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const element = node.parentElement;
    if (!node.data.trim() || ["STYLE", "SCRIPT", "OPTION"].includes(element.tagName)) continue;
    if (!element.checkVisibility()) continue;
    const [a, b] = [light(channels(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.push(`${ratio.toFixed(2)} ${element.className} ${node.data.trim().slice(0, 30)}`);
  }
  return faint;
}"""


@pytest.mark.parametrize(
    "place", ["/", f"{SESSION}&trace={1:032x}&span={4:016x}", f"/span?trace={1:032x}&id={4:016x}"]
)
def test_everything_that_takes_the_focus_has_a_name(page, place):
    """A screen reader says what each link, field and button is for; one main part, one first heading."""
    page.goto(place)
    page.locator("h1").wait_for()
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    roles = [node["role"]["value"] for node in nodes if not node.get("ignored")]
    nameless = [
        node["role"]["value"]
        for node in nodes
        if not node.get("ignored")
        and any(item["name"] == "focusable" for item in node.get("properties", ()))
        and node["role"]["value"] not in {"RootWebArea", "main", "generic", "scrollable", "none"}
        and not node.get("name", {}).get("value")
    ]
    assert nameless == []
    assert roles.count("main") == 1
    assert page.locator("h1").count() == 1
    assert page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("path", ["/", SESSION, f"{SESSION}&trace={2:032x}&span={14:016x}"])
def test_a_phone_needs_no_sideways_scrolling(browser, address, path):
    """At 320 pixels everything is there, and the span lies over its session."""
    with watched(browser, address) as tab:
        tab.set_viewport_size({"width": 320, "height": 640})
        tab.goto(path)
        tab.locator("h1").wait_for()
        assert tab.evaluate("document.documentElement.scrollWidth") <= 320
        if "span=" in path:
            expect(tab.locator("#lc-panel")).to_be_in_viewport()


def test_the_export_is_whole_without_the_page(browser, address, trip):
    """One file, no script, no request: it opens offline and its rows unfold."""
    with watched(browser, address) as tab:
        tab.set_content(tab.request.get(f"{address}/export?id=thread-42").text())
        tab.locator("details.lc-k-model > summary").first.click()
        expect(tab.get_by_text("You are a travel agent.").first).to_be_visible()
        assert tab.evaluate("document.scripts.length") == 0


WRITER = """
import sys
import lucidic as lai
from lucidic._runtime import runtime
tracer = runtime().provider().get_tracer("t")
with lai.session("From elsewhere", session_id="elsewhere-1"):
    for line in sys.stdin:
        tracer.start_span(line.strip(), attributes={"openinference.span.kind": "TOOL"}).end()
        print("written", flush=True)
"""


def test_another_processs_spans_appear_while_it_runs(browser):
    """`lucidic view` in one process, the program in another: list and session follow it, without a reload."""
    command = [sys.executable, "-u", "-m", "lucidic", "view", "--no-open"]
    with (
        subprocess.Popen(command, stdout=-1, text=True) as server,
        subprocess.Popen([sys.executable, "-c", WRITER], stdin=-1, stdout=-1, text=True, bufsize=1) as writer,
    ):
        try:
            address = re.search(r"http://[^/\s]+", server.stdout.readline())[0]
            with watched(browser, address) as tab:
                tab.goto("/")
                tab.locator("#lc-live.lc-on").wait_for()
                for name in ("first", "second"):
                    writer.stdin.write(f"{name}\n")
                    assert writer.stdout.readline() == "written\n"
                    if name == "first":
                        tab.get_by_role("link", name="From elsewhere").click()
                    row(tab, name).wait_for()
                writer.stdin.close()
                tab.locator(".lc-finished").wait_for()
        finally:
            writer.kill()
            server.send_signal(signal.SIGINT)
            server.wait(20)
