"""``mcp doctor``: what works on this machine, found out by doing it, and the mend for what does not."""

from collections.abc import Iterable
from typing import Any

import click

from mcp_client.app import App
from mcp_client.cli.checks import Probe, check_machine, check_settings, check_user
from mcp_client.cli.controls import controls_table
from mcp_client.cli.options import json_option, registry_option
from mcp_client.cli.output import Report
from mcp_client.cli.reference import REFERENCE
from mcp_client.errors import MCPError, printable
from mcp_client.network.rules import Rule
from mcp_client.policy.model import DEFAULT_LIMITS, NetworkPolicy, Policy
from mcp_client.reference import PackageReference
from mcp_client.sandbox.enforcement import missing_walls
from mcp_client.sandbox.spec import Control

_LONGEST = 1000
# Nobody is asked for it: the way to a host is built, and not gone.
_SOME_HOST = NetworkPolicy(allow=(Rule("example.com"),))


@click.command(short_help="Try every control this machine should offer.")
@registry_option
@click.option(
    "--package",
    metavar="REF",
    type=REFERENCE,
    help="Examine the registry instead, with this package of its own: does it keep its contract?",
)
@json_option
@click.pass_obj
def doctor(app: App, registry: str | None, package: PackageReference | None) -> Report:
    """Try every control of the sandbox, the user's files, the registry and the runtimes, by doing it.

    The exit status is 1 when something that every run needs does not work.

    \b
    Examples:
      mcp doctor
      mcp doctor --json
      mcp --config ./test.yaml doctor
      mcp doctor --registry https://registry.example.com --package acme/tool@1.0.0
    """  # noqa: D301  \b is click's mark for text that must not be wrapped
    app = app.with_overrides({"registry": registry})
    if package is not None:
        from mcp_client.cli.conformance import conformance_report

        return conformance_report(app, package)
    groups: dict[str, list[Probe]] = {"machine": list(check_machine())}
    configuration = check_settings(app)
    groups["machine"].append(configuration)
    controls: tuple[Control, ...] = ()
    if configuration.works:
        groups["files, registry, runtimes"] = list(check_user(app))
        controls = _controls(app)
    probes = [probe for group in groups.values() for probe in group]
    failed = [probe.control for probe in probes if probe.required and not probe.works]
    if not configuration.works or app.settings.sandbox.on_missing == "refuse":
        failed += [wall.name for wall in missing_walls(controls)]
    text = [_text(heading, group) for heading, group in groups.items()]
    text += [f"{click.style('sandbox', bold=True)}\n{controls_table(controls)}"] if controls else []
    values = {
        "checks": [_value(probe) for probe in probes],
        "controls": [control._asdict() for control in controls],
    }
    return Report(values, "\n\n".join(text), tuple(_failure(failed)))


def _controls(app: App) -> tuple[Control, ...]:
    """The sandbox of a server that asks for a host, built and taken down again."""
    try:
        return app.backend.forecast(Policy({}, False, DEFAULT_LIMITS, (), (), _SOME_HOST))
    except MCPError as error:
        return (Control("sandbox", "all together", "unavailable", error.message, error.hint),)


def _failure(failed: list[str]) -> Iterable[MCPError]:
    if failed:
        yield MCPError(
            "check-failed",
            f"does not work: {', '.join(failed)}",
            hint="the lines marked 'mend' say what to do",
        )


def _value(probe: Probe) -> dict[str, Any]:
    return {
        "control": probe.control,
        "works": probe.works,
        "required": probe.required,
        "detail": probe.detail,
        "mend": probe.mend,
    }


def _text(heading: str, probes: list[Probe]) -> str:
    width = max(len(probe.control) for probe in probes)
    lines = [click.style(heading, bold=True)]
    for probe in probes:
        mark = _mark(probe)
        lines.append(f"  {probe.control:<{width}}  {mark}  {printable(probe.detail, _LONGEST)}")
        if probe.mend and not probe.works:
            lines.append(f"  {'':<{width}}  mend: {printable(probe.mend, _LONGEST)}")
    return "\n".join(lines)


def _mark(probe: Probe) -> str:
    if probe.works:
        return click.style("works        ", fg="green")
    # Red stops every run; yellow is what some runs would want.
    return click.style("does not work", fg="red" if probe.required else "yellow")
