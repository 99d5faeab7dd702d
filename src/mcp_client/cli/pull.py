"""``mcp pull``: fetch, verify and unpack packages, so that they can run without a network; or mirror them."""

from collections.abc import Sequence
from typing import Any

import click

from mcp_client.acquire import acquire
from mcp_client.app import App
from mcp_client.cli.options import json_option, registry_option
from mcp_client.cli.output import Report, error_value, table
from mcp_client.cli.progress import show_downloads
from mcp_client.cli.reference import REFERENCE
from mcp_client.errors import MCPError
from mcp_client.reference import PackageReference
from mcp_client.resolution import Resolution


@click.command(short_help="Fetch and verify packages without running them.")
@click.argument("references", metavar="REF...", nargs=-1, required=True, type=REFERENCE)
@registry_option
@click.option("--refresh", is_flag=True, help="Ask the registry about packages that are cached, too.")
@click.option(
    "--to",
    "mirror",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Write them into DIR, a registry for other machines, and not into the cache.",
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@json_option
@click.pass_obj
def pull(
    app: App,
    references: Sequence[PackageReference],
    registry: str | None,
    refresh: bool,
    mirror: str | None,
    quiet: bool,
) -> Report:
    """Fetch the packages REF, verify and unpack them, and run nothing.

    All of them are tried; the exit status tells whether one has failed.

    \b
    Examples:
      mcp pull acme/hello-world@1.2.3
      mcp pull acme/tool@1.0.0 acme/files@2.1.0 --json
      mcp pull --refresh acme/tool@1.0.0     # has it been revoked?
      mcp pull --to /srv/mcp acme/tool@1.0.0 # then elsewhere: --registry file:///srv/mcp
    """  # noqa: D301  \b is click's mark for text that must not be wrapped
    app = app.with_overrides({"registry": registry})
    values: list[dict[str, Any]] = []
    errors: list[MCPError] = []
    rows: list[tuple[str, str, str]] = []
    with show_downloads(quiet=quiet) as downloads:
        downloads.watch(app)
        for reference in dict.fromkeys(references):
            try:
                if mirror is None:
                    value, state = _pull(app, reference, refresh=refresh)
                else:
                    value, state = _mirror(app, reference, mirror)
                rows.append((value["reference"], state, value["manifest"]))
            except MCPError as error:
                value = {"reference": str(reference), "error": error_value(error)}
                errors.append(error)
            values.append(value)
    text = table(("REFERENCE", "STATE", "MANIFEST"), rows) if rows else ""
    return Report({"packages": values}, text, tuple(errors))


def _pull(app: App, reference: PackageReference, *, refresh: bool) -> tuple[dict[str, Any], str]:
    cached = not refresh and app.cache.find(reference, app.registry_url) is not None
    resolution = acquire(app, reference, refresh=refresh).resolution
    return {**_value(resolution), "cached": cached}, "cached" if cached else "pulled"


def _mirror(app: App, reference: PackageReference, folder: str) -> tuple[dict[str, Any], str]:
    from mcp_client.mirror import mirror_package

    resolution, changed = mirror_package(app, reference, folder)
    return {**_value(resolution), "mirrored": changed}, "mirrored" if changed else "present"


def _value(resolution: Resolution) -> dict[str, Any]:
    return {
        "reference": str(resolution.reference),
        "registry": resolution.registry,
        "status": resolution.status,
        "manifest": str(resolution.manifest.digest),
        "bundle": str(resolution.bundle.digest),
    }
