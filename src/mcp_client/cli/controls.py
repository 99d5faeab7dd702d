"""How far each control of the sandbox holds, in the words that every command and the audit log share."""

from collections.abc import Iterable

import click

from mcp_client.cli.output import table
from mcp_client.errors import printable
from mcp_client.sandbox.spec import Control

_LONGEST = 1000
_COLOURS = {"enforced": "green", "degraded": "yellow", "unavailable": "red"}


def controls_table(controls: Iterable[Control]) -> str:
    """One line per control; below a weaker one, what would mend it, once for those that it mends together."""
    rows, said = [], None
    for control in controls:
        state = click.style(control.state, fg=_COLOURS[control.state])
        rows.append((control.name, control.requested, state, printable(control.mechanism, _LONGEST)))
        if control.mend not in {None, said} and control.state != "enforced":
            said = control.mend
            rows.append(("", "", "", f"mend: {printable(said, _LONGEST)}"))
    return table(("CONTROL", "REQUESTED", "STATE", "BY"), rows)
