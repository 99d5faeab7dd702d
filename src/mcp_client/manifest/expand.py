"""Variables in an entrypoint: ``${bundle}``, ``${data}``, ``${config.NAME}``; ``$${`` is a plain ``${``."""

from __future__ import annotations

import re

from mcp_client.errors import MCPError, printable
from mcp_client.light import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_client.manifest.model import Entrypoint

Value = str | tuple[str, ...]

_VARIABLE = re.compile(r"\$\$\{|\$\{([^{}]{0,128}\})?")


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
    return tuple(_name(match) for match in _VARIABLE.finditer(text) if match[0] != "$${")


def _whole(text: str, values: Mapping[str, Value]) -> Value | None:
    """The value of ``text`` when it is one variable and nothing else."""
    match = _VARIABLE.fullmatch(text)
    return values.get(_name(match)) if match and match[0] != "$${" else None


def _replace(text: str, values: Mapping[str, Value]) -> str:
    def one(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        name = _name(match)
        if name not in values:
            raise MCPError(
                "manifest-invalid",
                f"unknown variable ${{{printable(name, 60)}}} in '{printable(text, 80)}'",
                hint="there are ${bundle}, ${data} and ${config.NAME}; write $${ for a plain ${",
            )
        value = values[name]
        return value if isinstance(value, str) else ":".join(value)

    return _VARIABLE.sub(one, text)


def _name(match: re.Match[str]) -> str:
    if match[1] is None:
        raise MCPError(
            "manifest-invalid",
            f"a variable that is not closed in '{printable(match.string, 80)}'",
            hint="write ${bundle}, ${data} or ${config.NAME}; write $${ for a plain ${",
        )
    return match[1][:-1]
