"""What ``mcp run --dry-run`` prints: everything that was decided, and how far each control holds."""

from collections.abc import Iterable, Sequence
from typing import Any

import click

from mcp_client.cli.controls import controls_table
from mcp_client.cli.output import Report, fields
from mcp_client.errors import printable
from mcp_client.planning import RunPlan
from mcp_client.policy.model import Limits, Policy
from mcp_client.sandbox.spec import Control

_LONGEST = 1000


def plan_report(plan: RunPlan, controls: Sequence[Control]) -> Report:
    """The plan of one run, for people and for programs. Values of variables are never shown."""
    return Report(_values(plan, controls), _text(plan, controls))


def _values(plan: RunPlan, controls: Sequence[Control]) -> dict[str, Any]:
    resolution = plan.package.resolution
    return {
        "reference": str(resolution.reference),
        "registry": resolution.registry,
        "manifest_digest": str(resolution.manifest.digest),
        "bundle_digest": str(resolution.bundle.digest),
        "argv": list(plan.spec.argv),
        "directory": plan.spec.directory,
        "port": plan.spec.port,
        "environment": sorted(plan.spec.environment),
        "policy": plan.policy.to_record(),
        "mounts": [operation.describe() for operation in plan.spec.mounts],
        "controls": [control._asdict() for control in controls],
    }


def _limits(limits: Limits) -> str:
    memory, cores = f"{limits.memory >> 20} MiB", f"{limits.cpu / 1000:g}"
    return f"{memory} of memory, {cores} cores, {limits.processes} processes, {limits.files} files"


def _network(policy: Policy) -> str:
    def listed(entries: Iterable[object]) -> str:
        return ", ".join(map(str, entries))

    network = policy.network
    lines = [listed(network.allow) or "none"]
    if network.allow and network.deny:
        lines.append(f"but never {listed(network.deny)}")
    if policy.closed_hosts:
        lines.append(f"asked for and closed: {listed(policy.closed_hosts)}")
    return "; ".join(lines)


def _text(plan: RunPlan, controls: Sequence[Control]) -> str:
    resolution, policy = plan.package.resolution, plan.policy
    facts = [
        ("package", f"{resolution.reference} ({resolution.status})"),
        ("registry", resolution.registry),
        ("manifest", str(resolution.manifest.digest)),
        ("bundle", str(resolution.bundle.digest)),
        ("executes", " ".join(plan.spec.argv)),
        ("listens", "" if plan.spec.port is None else f"at port {plan.spec.port} of its own network"),
        ("variables", ", ".join(sorted(plan.spec.environment))),
        ("network", _network(policy)),
        ("processes", "may start other programs" if policy.subprocess else "starts no other programs"),
        ("limits", _limits(plan.spec.limits)),
    ]
    world = [f"  {printable(operation.describe(), _LONGEST)}" for operation in plan.spec.mounts]
    shown = [(name, printable(value, _LONGEST)) for name, value in facts if value]
    return "\n".join(
        [
            fields(shown),
            "",
            controls_table(controls),
            "",
            click.style("The server's world, in the order in which it is built", bold=True),
            *world,
        ]
    )
