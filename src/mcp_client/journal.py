"""What ``mcp run`` writes into the audit log, from the values of its pipeline."""

from __future__ import annotations

from mcp_client.audit import events
from mcp_client.errors import MCPError
from mcp_client.light import TYPE_CHECKING

if TYPE_CHECKING:
    from mcp_client.app import App
    from mcp_client.executor.outcome import Outcome
    from mcp_client.planning import RunPlan
    from mcp_client.reference import PackageReference
    from mcp_client.sandbox.spec import Control
    from mcp_client.serving import Bridged, Endpoint

# Failures that are nobody's decision: the audit log tells them from refusals.
_FAULTS = frozenset(
    {
        "registry-unavailable",
        "rate-limited",
        "cache-busy",
        "cache-unwritable",
        "disk-full",
        "sandbox-failed",
        "internal-error",
        "listen-failed",
    }
)


def start_record(
    run_id: str, plan: RunPlan, controls: tuple[Control, ...], door: Endpoint | Bridged | None
) -> events.Record:
    """A server is about to run."""
    resolution = plan.package.resolution
    return events.start(
        run_id,
        package=f"{plan.manifest.name}@{plan.manifest.version}",
        reference=str(resolution.reference),
        manifest_digest=str(resolution.manifest.digest),
        bundle_digest=str(resolution.bundle.digest),
        registry=resolution.registry,
        command=plan.entrypoint.command,
        args=plan.entrypoint.args,
        transport=plan.manifest.transport,
        policy=plan.policy.to_record(),
        controls=[(c.name, c.requested, c.state, c.mechanism) for c in controls],
        environment=tuple(plan.spec.environment),
        endpoint=None if door is None else door.to_record(),
    )


def unexpected(error: BaseException) -> MCPError:
    """What nobody raised on purpose is a defect."""
    if isinstance(error, MCPError):
        return error
    return MCPError("internal-error", f"{type(error).__name__}: {error}", hint="this is a defect; report it")


def record_failure(app: App, run_id: str, reference: PackageReference, error: MCPError) -> None:
    """A run that did not come to its server; a log that cannot be written is told on standard error."""
    if error.code in {"audit-unwritable", "config-invalid", "config-unreadable"}:
        return
    build = events.error if error.code in _FAULTS else events.refused
    try:
        app.audit.append(build(run_id, reference=str(reference), code=error.code, message=error.message))
    except MCPError as unwritable:
        app.log.warning(unwritable.message)


def record_end(app: App, run_id: str, outcome: Outcome) -> None:
    """A server has ended."""
    usage = outcome.usage
    record = events.end(
        run_id,
        outcome=outcome.kind,
        exit_code=outcome.status,
        signal=outcome.signal,
        reason=outcome.reason,
        duration=outcome.seconds,
        cpu=usage.user_seconds + usage.system_seconds,
        peak_memory=usage.peak_memory,
        refused=outcome.refused,
        network=outcome.network,
        http=outcome.http,
    )
    try:
        app.audit.append(record)
    except MCPError as unwritable:
        # The server has already run; its own status is what the caller must see.
        app.log.warning(f"the end of this run is not in the audit log: {unwritable.message}")
