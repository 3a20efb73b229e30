"""What surrounds every page."""

from __future__ import annotations

from collections.abc import Sequence

from lucidic._view._html import escaped


def frame(title: str, body: str, *, events: str = "", trail: Sequence[tuple[str, str]] = ()) -> str:
    """Return a whole page.

    Args:
        title: Its title, foreign text; also the end of the trail, but on the list.
        body: Its content as HTML.
        events: The address that says when it changes.
        trail: Addresses and names of the pages above it.
    """
    live = f' data-events="{escaped(events)}"' if events else ""
    above = "".join(
        f'<li><a href="{escaped(address)}">{escaped(name)}</a></li>'
        for address, name in (("/", "lucidic"), *trail)
    ) + (f'<li aria-current="page">{escaped(title)}</li>' if events != "/events" else "")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escaped(title)} · lucidic</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,"><link rel="stylesheet" href="/page.css">'
        '<script src="/page.js" defer></script></head>'
        f'<body class="lc-page"{live}><a class="lc-skip" href="#main">Skip to the content</a>'
        f'<header class="lc-top"><nav aria-label="Where you are"><ol>{above}</ol></nav>'
        '<span id="lc-live" role="status"></span></header>'
        f'<main id="main" tabindex="-1">{body}</main></body></html>'
    )


def chunk(
    source: str, page: str, label: str, pixels: int, *, tag: str = "div", inside: str | None = None
) -> str:
    """Return a part of a page that is fetched when it comes near the screen, and dropped when it is far.

    Args:
        source: Where its content is.
        page: The page that begins with it, for readers without scripts.
        label: What it holds.
        pixels: How high it is about, before it is loaded.
        tag: The element.
        inside: Its content, if it is there already.
    """
    start = f'<{tag} class="lc-chunk" data-src="{escaped(source)}"'
    if inside is not None:
        return f"{start} data-loaded>{inside}</{tag}>"
    link = f'<a href="{escaped(page)}" tabindex="-1">{escaped(label)}</a>'
    if tag == "tbody":
        # A table's parts have no height of their own.
        return f'{start}><tr><td colspan="9" style="height:{pixels}px">{link}</td></tr></tbody>'
    held = f"<li>{link}</li>" if tag == "ul" else link
    return f'{start} style="height:{pixels}px">{held}</{tag}>'


def not_found(what: str) -> str:
    """Return the page for what is not there."""
    return frame("Not found", f"<h1>Not found</h1><p>{escaped(what)} is not in the local store.</p>")
