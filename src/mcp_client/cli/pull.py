"""``mcp pull``: fetch, verify and unpack packages, so that they can run without a network."""

from collections.abc import Sequence
from typing import Any

import click

from mcp_client.acquire import acquire
from mcp_client.app import App
from mcp_client.cli.options import json_option, registry_option
from mcp_client.cli.output import Report, error_value, table
from mcp_client.cli.progress import watch_downloads
from mcp_client.cli.reference import REFERENCE
from mcp_client.errors import MCPError
from mcp_client.reference import PackageReference


@click.command(short_help="Fetch and verify packages without running them.")
@click.argument("references", metavar="REF...", nargs=-1, required=True, type=REFERENCE)
@registry_option
@click.option("--refresh", is_flag=True, help="Ask the registry about packages that are cached, too.")
@json_option
@click.pass_obj
def pull(app: App, references: Sequence[PackageReference], registry: str | None, refresh: bool) -> Report:
    """Fetch the packages REF, verify and unpack them, and run nothing.

    All of them are tried; the exit status tells whether one has failed.

    \b
    Examples:
      mcp pull acme/hello-world@1.2.3
      mcp pull acme/tool@1.0.0 acme/files@2.1.0 --json
      mcp pull --refresh acme/tool@1.0.0     # has it been revoked?
    """  # noqa: D301  \b is click's mark for text that must not be wrapped
    app = app.with_overrides({"registry": registry})
    watch_downloads(app)
    values: list[dict[str, Any]] = []
    errors: list[MCPError] = []
    rows: list[tuple[str, str, str]] = []
    for reference in dict.fromkeys(references):
        try:
            value = _pull(app, reference, refresh=refresh)
            rows.append((value["reference"], "cached" if value["cached"] else "pulled", value["manifest"]))
        except MCPError as error:
            value = {"reference": str(reference), "error": error_value(error)}
            errors.append(error)
        values.append(value)
    text = table(("REFERENCE", "STATE", "MANIFEST"), rows) if rows else ""
    return Report({"packages": values}, text, tuple(errors))


def _pull(app: App, reference: PackageReference, *, refresh: bool) -> dict[str, Any]:
    cached = not refresh and app.cache.find(reference, app.registry_url) is not None
    resolution = acquire(app, reference, refresh=refresh).resolution
    return {
        "reference": str(reference),
        "registry": resolution.registry,
        "status": resolution.status,
        "cached": cached,
        "manifest": str(resolution.manifest.digest),
        "bundle": str(resolution.bundle.digest),
    }
