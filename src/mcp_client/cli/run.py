"""``mcp run``: the command people put into their MCP client's configuration."""

from collections.abc import Sequence
from typing import Any

import click

from mcp_client.app import App
from mcp_client.cli.endpoint import endpoint_options, endpoint_request
from mcp_client.cli.options import registry_option
from mcp_client.cli.output import Report
from mcp_client.cli.reference import REFERENCE
from mcp_client.errors import MCPError
from mcp_client.pipeline import RunRequest, plan_run, run_package
from mcp_client.reference import PackageReference


def _parse_options(texts: Sequence[str]) -> list[tuple[str, str]]:
    options = []
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise MCPError("option-invalid", f"not NAME=VALUE: {text[:100]!r}", hint="write --set NAME=VALUE")
        options.append((name, value))
    return options


@click.command(
    short_help="Run an MCP server, verified, sandboxed and audited.",
    context_settings={"ignore_unknown_options": False},
)
@click.argument("reference", metavar="REF", type=REFERENCE)
@click.argument("arguments", metavar="[-- ARGS]...", nargs=-1, type=click.UNPROCESSED)
@click.option("--env", "environment", metavar="KEY=VALUE|KEY", multiple=True, help="Give a variable.")
@click.option("--env-file", "environment_files", metavar="FILE", multiple=True, help="Give those of a file.")
@click.option(
    "--mount", "mounts", metavar="HOST:INSIDE[:ro|rw]", multiple=True, help="Show a file or folder."
)
@click.option("--allow-net", "network", metavar="RULE", multiple=True, help="Open host[:port] or a network.")
@click.option("--set", "options", metavar="NAME=VALUE", multiple=True, help="Set an option of the package.")
@click.option("--timeout", metavar="TIME", help="Stop the server after this time (30s, 5m, 1h).")
@registry_option
@click.option("--offline", is_flag=True, is_eager=True, help="Use the cache only.")
@click.option(
    "--allow-degraded", is_flag=True, help="Run even where a wall of the sandbox cannot be enforced."
)
@endpoint_options
@click.option("--dry-run", is_flag=True, help="Print the plan, and run nothing.")
@click.option("--json", is_flag=True, help="Print the plan (--dry-run), or a server's URL, as JSON.")
@click.option("-v", "--verbose", is_flag=True, help="Tell on standard error what happens.")
@click.pass_obj
def run(
    app: App,
    /,
    *,
    reference: PackageReference,
    arguments: Sequence[str],
    environment: Sequence[str],
    environment_files: Sequence[str],
    mounts: Sequence[str],
    network: Sequence[str],
    options: Sequence[str],
    timeout: str | None,
    registry: str | None,
    offline: bool,
    allow_degraded: bool,
    dry_run: bool,
    json: bool,
    verbose: bool,
    **endpoint: Any,
) -> int | Report:
    """Run the MCP server REF on standard input and output, or behind a local URL if it speaks HTTP.

    The server sees its own files, what you grant below, and nothing else: no home folder, no hosts and no
    variables but those it asks for by name. Its exit status is passed on; 124 is a timeout, 125 a failure
    of mcp itself.

    \b
    Examples:
      mcp run acme/hello-world@1.2.3
      mcp run acme/tool@1.0.0 --env API_KEY --timeout 1h
      mcp run acme/files@2.1.0 --set roots=$HOME/notes
      mcp run acme/files@2.1.0 --mount ./data:/mnt/data:rw -- --verbose /mnt/data
      mcp run acme/tool@1.0.0 --allow-net api.example.com:443 --allow-net 127.0.0.1:11434
      mcp run acme/web@1.0.0 --port 8765
      mcp run acme/web@1.0.0 --stdio
      mcp run acme/tool@1.0.0 --dry-run
    """  # noqa: D301  \b is click's mark for text that must not be wrapped
    on_missing = "degrade" if allow_degraded else None
    app = app.with_overrides({"registry": registry, "timeout": timeout, "on_missing": on_missing})
    if verbose and app.settings.log.level != "debug":
        app = app.with_overrides({"log_level": "info"})
    request = RunRequest(
        reference=reference,
        arguments=arguments,
        environment=environment,
        environment_files=environment_files,
        mounts=mounts,
        network=network,
        options=_parse_options(options),
        offline=offline,
        endpoint=endpoint_request(announce=json, **endpoint),
    )
    if dry_run:
        from mcp_client.cli.plan import plan_report

        plan = plan_run(app, request)
        return plan_report(plan, app.backend.forecast(plan.policy, plan.spec.port))
    outcome = run_package(app, request)
    if outcome.kind != "exit" and outcome.exit_status != 0:
        app.log.warning(outcome.describe())
    else:
        app.log.info(outcome.describe())
    return outcome.exit_status
