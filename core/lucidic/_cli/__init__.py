"""The command line."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from typing import Final

import click


_COMMANDS: Final = {
    "demo": "_demo:demo",
    "doctor": "_doctor:doctor",
    "export": "_journal:export",
    "journal": "_journal:journal",
    "replay": "_journal:replay",
    "sessions": "_sessions:sessions",
    "show": "_show:show",
    "stats": "_stats:stats",
    "tail": "_tail:tail",
    "unattributed": "_unattributed:unattributed",
    "view": "_view:view",
}


class _LazyGroup(click.Group):
    """Import a command's module only when the command is asked for; a missing module costs its command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [
            name for name, place in _COMMANDS.items() if find_spec(f"{__name__}.{place.partition(':')[0]}")
        ]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"{__name__}.{module}"), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command where there is none of this name."""
        near = get_close_matches(args[0], self.list_commands(ctx), n=1)
        if near and args[0] not in _COMMANDS:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)


@click.group(
    cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="lucidic-adapters", prog_name="lucidic")
def main() -> None:
    """Look at the sessions of your agents.

    Exit codes: 0 done, 1 nothing there or something is wrong, 2 wrong usage, 3 the store cannot be read.
    """
