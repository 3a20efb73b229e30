"""A real kernel, as a notebook's front end drives it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field

from jupyter_client import KernelManager


@dataclass
class Shown:
    """What one cell gave back."""

    printed: str = ""
    value: str = ""
    error: str = ""
    displays: list[tuple[str, str, dict]] = field(default_factory=list)
    """Message type, display id and data, in the order of arrival."""

    @property
    def html(self) -> str:
        """The HTML that the front end shows at the end, of all displays one after the other."""
        last = {place: data.get("text/html", "") for _, place, data in self.displays}
        return "\n".join(last.values())


class Kernel:
    def __init__(self, manager) -> None:
        self.manager = manager
        self.client = manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, code, *, on_message=None) -> Shown:
        """Run a cell to its end."""
        shown = Shown()

        def take(message):
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                shown.printed += content["text"]
            elif kind == "execute_result":
                shown.value = content["data"]["text/plain"]
                shown.displays.append((kind, "", content["data"]))
            elif kind in {"display_data", "update_display_data"}:
                place = content["transient"].get("display_id", "")
                shown.displays.append((kind, place, content["data"]))
            elif kind == "error":
                shown.error = f"{content['ename']}: {content['evalue']}"
            if on_message is not None:
                on_message(message)

        self.client.execute_interactive(code, timeout=60, output_hook=take, allow_stdin=False)
        return shown

    def value(self, code) -> str:
        """Return what a cell's last value is, failing if it raises."""
        shown = self.run(code)
        assert not shown.error, shown.error
        return shown.value

    def restart(self) -> None:
        self.manager.restart_kernel(now=True)
        self.client.wait_for_ready(timeout=60)


@contextmanager
def started(home):
    """Start a kernel whose sessions are under ``home``, also after a restart."""
    manager = KernelManager()
    manager.start_kernel(env={**os.environ, "LUCIDIC_HOME": str(home)})
    kernel = Kernel(manager)
    try:
        yield kernel
    finally:
        kernel.client.stop_channels()
        manager.shutdown_kernel(now=True)
