"""``mcp pull --to``: what it does and tells about each package."""

from collections.abc import Sequence
from typing import Any

from mcp_client.app import App
from mcp_client.cli.output import Report, error_value, table
from mcp_client.cli.parallel import for_each
from mcp_client.cli.progress import show_downloads
from mcp_client.errors import MCPError
from mcp_client.mirror import mirror_package
from mcp_client.reference import PackageReference
from mcp_client.resolution import Resolution

Wanted = tuple[PackageReference, Resolution | None]


def fill_mirror(app: App, wanted: Sequence[Wanted], folder: str, *, quiet: bool) -> Report:
    """Add packages to the directory registry ``folder``, each with what a lock says about it, if one does."""

    def work(own: App, one: Wanted) -> tuple[Resolution, bool]:
        reference, told = one
        elsewhere = told is not None and told.registry != own.registry_url
        at = own.with_overrides({"registry": told.registry}) if told is not None and elsewhere else own
        downloads.watch(at, told)
        try:
            return mirror_package(at, reference, folder, told)
        finally:
            if at is not own:
                at.close()

    with show_downloads(quiet=quiet) as downloads:
        results = for_each(app, wanted, work)
    values: list[dict[str, Any]] = []
    rows: list[tuple[str, str, str, str]] = []
    errors: list[MCPError] = []
    for (reference, _), result in zip(wanted, results, strict=True):
        if isinstance(result, MCPError):
            values.append({"reference": str(reference), "error": error_value(result)})
            errors.append(result)
            continue
        resolution, changed = result
        values.append(
            {
                "reference": str(reference),
                "registry": resolution.registry,
                "status": resolution.status,
                "message": resolution.message,
                "mirrored": changed,
                "manifest": str(resolution.manifest.digest),
                "bundle": str(resolution.bundle.digest),
            }
        )
        state = "mirrored" if changed else "present"
        rows.append((str(reference), state, resolution.status, str(resolution.manifest.digest)))
    text = table(("REFERENCE", "STATE", "STATUS", "MANIFEST"), rows) if rows and not quiet else ""
    return Report({"packages": values}, text, tuple(errors))
