"""Variables in an entrypoint: ``${bundle}``, ``${data}``, ``${config.NAME}``; ``$${`` is a plain ``${``."""

from __future__ import annotations

from mcp_client.errors import MCPError, printable
from mcp_client.light import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mcp_client.manifest.model import Entrypoint

Value = str | tuple[str, ...]

_OPEN = "${"
_LONGEST = 128


def expand(entrypoint: Entrypoint, values: Mapping[str, Value]) -> Entrypoint:
    """``entrypoint`` with every variable replaced once; what comes in by a value is not looked at again.

    ``values`` is keyed as variables are written: ``bundle``, ``data``, ``config.roots``. A tuple becomes as
    many arguments when the argument is nothing but the variable (none at all for an empty one), and is
    joined with ``:`` elsewhere; a variable of the environment that is nothing but an empty tuple is left
    out. Raises ``manifest-invalid`` for a variable that has no value.
    """
    args: list[str] = []
    for arg in entrypoint.args:
        value = _whole(arg, values)
        args += value if isinstance(value, tuple) else [_replace(arg, values)]
    env = {
        name: _replace(text, values) for name, text in entrypoint.env.items() if _whole(text, values) != ()
    }
    return entrypoint._replace(args=tuple(args), env=env)


def variables(text: str) -> tuple[str, ...]:
    """The names of the variables in ``text``; raises ``manifest-invalid`` when one is not closed."""
    return tuple(name for _, name in _pieces(text) if name is not None)


def _pieces(text: str) -> Iterator[tuple[str, str | None]]:
    """``text`` as plain parts, each with the variable that follows it; None after the last one."""
    plain, at = "", 0
    while (found := text.find(_OPEN, at)) >= 0:
        begin = found + len(_OPEN)
        if found > at and text[found - 1] == "$":
            plain += text[at : found - 1] + _OPEN
            at = begin
            continue
        name, closed, _ = text[begin : begin + _LONGEST + 1].partition("}")
        if not closed or "{" in name:
            raise MCPError(
                "manifest-invalid",
                f"a variable that is not closed in '{printable(text, 80)}'",
                hint="write ${bundle}, ${data} or ${config.NAME}; write $${ for a plain ${",
            )
        yield plain + text[at:found], name
        plain, at = "", begin + len(name) + 1
    yield plain + text[at:], None


def _whole(text: str, values: Mapping[str, Value]) -> Value | None:
    """The value of ``text`` when it is one variable and nothing else."""
    pieces = list(_pieces(text))
    if len(pieces) == 2 and pieces[0][0] == pieces[1][0] == "":  # noqa: PLR2004
        return values.get(pieces[0][1] or "")
    return None


def _replace(text: str, values: Mapping[str, Value]) -> str:
    shown = ""
    for plain, name in _pieces(text):
        shown += plain
        if name is None:
            break
        if name not in values:
            raise MCPError(
                "manifest-invalid",
                f"unknown variable ${{{printable(name, 60)}}} in '{printable(text, 80)}'",
                hint="there are ${bundle}, ${data} and ${config.NAME}; write $${ for a plain ${",
            )
        value = values[name]
        shown += value if isinstance(value, str) else ":".join(value)
    return shown
