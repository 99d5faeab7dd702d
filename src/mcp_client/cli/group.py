"""Command groups that know their commands by name and import a command's module when it is used."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_COMMAND = "mcp_client.command"


class Entry(NamedTuple):
    """A command of a group: where it is (``module:attribute``) and its line in the group's help."""

    target: str
    short_help: str


class LazyGroup(click.Group):
    """A click group over a table of :class:`Entry`; help and completion of names import no command."""

    def __init__(self, *, entries: Mapping[str, Entry], **options: Any) -> None:
        """``entries`` in the order of the help; ``options`` as for click.Group."""
        # Without a command it is a usage error like any other, not click's help with a varying status.
        super().__init__(no_args_is_help=False, **options)
        self._entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of the table."""
        del ctx
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None when there is none of that name."""
        del ctx
        entry = self._entries.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101  the table is ours
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, and remember the words of the command for whoever reports on it."""
        if args[0] in self._entries:
            ctx.meta[_COMMAND] = f"{command_words(ctx)} {args[0]}".strip()
        elif not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(self._unknown(args[0]), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, as click lays out commands."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.short_help) for name, entry in self._entries.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Names of commands, and the options of the group."""
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=entry.short_help)
            for name, entry in self._entries.items()
            if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def _unknown(self, name: str) -> str:
        from difflib import get_close_matches

        near = get_close_matches(name, self._entries, 1)
        return f"no command {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def command_words(ctx: click.Context) -> str:
    """The words of the command being run below ``ctx``, such as ``cache ls``; empty before it is known."""
    words: str = ctx.meta.get(_COMMAND, "")
    return words
