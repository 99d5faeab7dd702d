"""What a run does about controls that do not hold on this host."""

from collections.abc import Iterable

from mcp_client.config.settings import OnMissing
from mcp_client.errors import MCPError
from mcp_client.sandbox.spec import Control

# Kept more coarsely where the kernel does not account for the whole server; all other controls are walls.
LIMITS = frozenset({"files", "processes", "memory", "cpu"})


def missing_walls(controls: Iterable[Control]) -> list[Control]:
    """The controls that must hold and do not.

    One that nothing mends is one that the platform never offers: it is reported and recorded, and no more.
    """
    return [
        control
        for control in controls
        if control.state != "enforced" and control.mend is not None and control.name not in LIMITS
    ]


def refuse_missing(controls: Iterable[Control], on_missing: OnMissing) -> None:
    """Raise ``control-missing`` for the first wall that does not hold, unless that was accepted."""
    walls = missing_walls(controls)
    if walls and on_missing == "refuse":
        wall = walls[0]
        raise MCPError(
            "control-missing",
            f"{wall.name} is {wall.state} on this host ({wall.mechanism})",
            hint=f"{wall.mend}; or accept a weaker sandbox with --allow-degraded",
            details={control.name: control.state for control in walls},
        )
