"""The one renderer: text for people, or a JSON envelope for programs.

A command returns a :class:`Report`; ``cli.program`` hands it to :func:`show`. The envelope is documented in
``docs/ERRORS.md``: ``{"ok": true, "command", "result"}`` or ``{"ok": false, "command", "error"}``, where
a command that did part of its work has both ``result`` and ``error``.
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import click

from mcp_client.errors import MCPError, printable

_LONGEST_LINE = 4000
_GAP = 2


class Report(NamedTuple):
    """What a command found out: JSON values, the same as text, and the failures that remain.

    ``text`` may be coloured with ``click.style``; colours are taken out where they do not belong. Either of
    them may be a function that makes it: only one is shown, and some are long.
    """

    result: Any
    text: str | Callable[[], str]
    errors: tuple[MCPError, ...] = ()

    @property
    def status(self) -> int:
        """Exit status of the command."""
        return self.errors[0].command_status if self.errors else 0


def show(report: Report, *, command: str, as_json: bool) -> None:
    """Print ``report`` on standard output, and its failures on standard error."""
    if as_json:
        failure = {"error": error_value(report.errors[0])} if report.errors else {}
        result = report.result() if callable(report.result) else report.result
        _envelope({"ok": not failure, "command": command, "result": result, **failure})
    elif text := report.text() if callable(report.text) else report.text:
        _write(text)
    for error in report.errors:
        _show_error_line(error)


def show_error(error: MCPError, *, command: str, as_json: bool) -> None:
    """Report a failure: a line and a hint on standard error, and for ``as_json`` the envelope as well."""
    if as_json:
        _envelope({"ok": False, "command": command, "error": error_value(error)})
    _show_error_line(error)


def note(text: str) -> None:
    """A line for people on standard error."""
    click.echo(_safe(text), err=True, color=_colour())


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligned columns below their headers; the last one is never padded."""
    *columns, last = zip(headers, *rows, strict=True)
    shown = ["".join(line).rstrip() for line in zip(*map(_padded, columns), last, strict=True)]
    return "\n".join([click.style(shown[0], bold=True), *shown[1:]])


def fields(pairs: Iterable[tuple[str, str]]) -> str:
    """``name  value`` lines with the values aligned; further lines of a value stand below its first."""
    listed = list(pairs)
    width = max(len(name) for name, _ in listed) + _GAP
    return "\n".join(
        click.style(f"{name:<{width}}", bold=True) + value.replace("\n", "\n" + " " * width)
        for name, value in listed
    )


def _padded(column: Sequence[str]) -> list[str]:
    """Cells of one width, colours not counted."""
    width = max(map(_width, column)) + _GAP
    return [cell + " " * (width - _width(cell)) if "\x1b" in cell else cell.ljust(width) for cell in column]


def _width(cell: str) -> int:
    """Columns on a terminal, not counting colours."""
    return len(click.unstyle(cell)) if "\x1b" in cell else len(cell)


def _show_error_line(error: MCPError) -> None:
    tag = click.style(f"error[{error.code}]", fg="red", bold=True)
    click.echo(f"mcp: {tag}: {_safe(error.message)}", err=True, color=_colour())
    click.echo(f"  {click.style('hint', fg='cyan')}: {_safe(error.hint)}", err=True, color=_colour())


def error_value(error: MCPError) -> dict[str, Any]:
    """A failure as JSON values."""
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "details": error.details,
    }


def _envelope(value: dict[str, Any]) -> None:
    # Pure ASCII: no encoding can refuse it, no terminal obeys it.
    import json

    indent = 2 if sys.stdout is not None and sys.stdout.isatty() else None
    click.echo(json.dumps(value, indent=indent))


def _write(text: str) -> None:
    stream = sys.stdout
    if hasattr(stream, "reconfigure"):
        # A locale that lacks a character must not end in a traceback.
        stream.reconfigure(errors="backslashreplace")
    click.echo(text, color=_colour())


def _colour() -> bool | None:
    """No colour when NO_COLOR is set (no-color.org) or the terminal is dumb; else click asks the stream."""
    return False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None


def _safe(text: str) -> str:
    return "\n".join(printable(line, _LONGEST_LINE) for line in text.split("\n"))
