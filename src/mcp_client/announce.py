"""What ``mcp run`` says about a server on standard error, before it runs and while it does."""

from __future__ import annotations

from mcp_client.audit.redact import redact_args
from mcp_client.errors import printable
from mcp_client.light import TYPE_CHECKING
from mcp_client.sandbox.enforcement import missing_walls
from mcp_client.standing import deprecation

if TYPE_CHECKING:
    from mcp_client.app import App
    from mcp_client.planning import RunPlan
    from mcp_client.sandbox.spec import Control, Happening


def announce_plan(app: App, plan: RunPlan) -> None:
    """Say what is about to happen (with ``-v``), and warn of what will not be as somebody may expect."""
    resolution = plan.package.resolution
    app.log.info(f"{resolution.reference} is here and verified", bundle=resolution.bundle.digest)
    app.log.info(
        "the server is about to execute",
        entrypoint=" ".join(redact_args([plan.entrypoint.command, *plan.entrypoint.args])),
    )
    if resolution.status == "deprecated":
        app.log.warning(deprecation(resolution))
    if plan.policy.closed_hosts:
        hosts = printable(", ".join(plan.policy.closed_hosts))
        app.log.warning(f"the server asks for hosts that stay closed without --allow-net: {hosts}")
    if plan.manifest.subprocess and not plan.policy.subprocess:
        app.log.warning("the server asks to start processes, and the operator's policy forbids it")


def announce_controls(app: App, controls: tuple[Control, ...]) -> None:
    """Say what holds (with ``-v``), and warn of each wall that does not."""
    weak = [f"{control.name} is {control.state}" for control in controls if control.state != "enforced"]
    app.log.info(f"{len(controls) - len(weak)} controls hold", weaker=", ".join(weak) or "none")
    for control in missing_walls(controls):
        app.log.warning(f"{control.name} is {control.state}: {control.mechanism}")


def announce_event(app: App, plan: RunPlan, happened: Happening) -> None:
    """Tell once what the server must not do, so that nobody has to guess why it fails."""
    if happened == "program-refused":
        app.log.warning("the server tried to execute another program; its policy says subprocess: false")
    elif happened == "process-refused":
        most = plan.policy.limits.processes
        app.log.warning(f"the server tried to start more than its {most} processes")
