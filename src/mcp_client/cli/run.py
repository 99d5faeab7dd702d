"""``mcp run``: the command people put into their MCP client's configuration, as click knows it."""

from collections.abc import Callable
from typing import Any

import click

from mcp_client.app import App
from mcp_client.cli.flags import RUN_FLAGS, RunFlags
from mcp_client.cli.output import Report
from mcp_client.cli.reference import REFERENCE
from mcp_client.cli.start import prepare, start
from mcp_client.reference import PackageReference


def _run_flags(function: Callable[..., Any]) -> Callable[..., Any]:
    """Declare RUN_FLAGS, in the order of the table."""
    for flag in reversed(RUN_FLAGS):
        names = [name for name in (flag.short, flag.name) if name is not None]
        switched: dict[str, Any] = {} if flag.value is True else {"flag_value": flag.value, "default": None}
        declare = click.option(
            *names,
            flag.field,
            metavar=flag.metavar,
            type=None if flag.most is None else click.IntRange(0, flag.most),
            # Not False: to click that means a value may be missing.
            is_flag=True if flag.metavar is None else None,
            **switched,
            multiple=flag.multiple,
            is_eager=flag.early,
            help=flag.help,
        )
        function = declare(function)
    return function


@click.command(short_help="Run an MCP server, verified, sandboxed and audited.")
@click.argument("reference", metavar="REF", type=REFERENCE)
@click.argument("arguments", metavar="[-- ARGS]...", nargs=-1, type=click.UNPROCESSED)
@_run_flags
@click.option("--dry-run", is_flag=True, help="Print the plan, and run nothing.")
@click.pass_obj
def run(app: App, /, *, reference: PackageReference, dry_run: bool, **given: Any) -> int | Report:
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
      mcp run acme/tool@1.0.0 --locked       # exactly the bytes of ./mcp.lock
      mcp run acme/web@1.0.0 --port 8765
      mcp run acme/web@1.0.0 --stdio
      mcp run acme/tool@1.0.0 --dry-run
    """  # noqa: D301  \b is click's mark for text that must not be wrapped
    flags = RunFlags(reference=str(reference), **given)
    if flags.stdio and flags.listens:
        raise click.UsageError(
            "--stdio listens nowhere: leave out --port, --host, --token and --allow-origin"
        )
    if not dry_run:
        return start(app, flags)
    from mcp_client.cli.plan import plan_report
    from mcp_client.planning import plan_run

    app, request = prepare(app, flags)
    plan = plan_run(app, request)
    return plan_report(plan, app.backend.forecast(plan.policy, plan.spec.port))
