"""``mcp lock``: write down what references stand for, so that a team and CI run the same bytes."""

from collections.abc import Sequence
from typing import Any

import click

from mcp_client.acquire import acquire, check_unmoved
from mcp_client.app import App
from mcp_client.cache.resolutions import version_moved
from mcp_client.cli.flags import LOCK_FILE
from mcp_client.cli.options import json_option, offline_option, registry_option
from mcp_client.cli.output import Report, error_value, table
from mcp_client.cli.parallel import for_each
from mcp_client.cli.progress import show_downloads
from mcp_client.cli.reference import REFERENCE
from mcp_client.errors import MCPError, printable
from mcp_client.lock import Locked, lockable, read_lock, write_lock
from mcp_client.reference import PackageReference
from mcp_client.resolution import Resolution
from mcp_client.standing import deprecation, refuse_status

# What became of one entry: its new content, and whether it is what the file has already.
_Outcome = tuple[Resolution, bool]


@click.command(short_help="Write down the exact bytes that references stand for.")
@click.argument("references", metavar="[REF]...", nargs=-1, type=REFERENCE)
@registry_option
@click.option("-o", "--output", "file", metavar="FILE", default=LOCK_FILE, help=f"Instead of ./{LOCK_FILE}.")
@click.option("--check", is_flag=True, help="Write nothing; fail unless the file is current.")
@offline_option
@json_option
@click.pass_obj
def lock(
    app: App,
    references: Sequence[PackageReference],
    registry: str | None,
    file: str,
    check: bool,
    offline: str | None,
) -> Report:
    """Add the packages REF to a lock file, or without REF bring all that it has up to date.

    Each is resolved, fetched and verified first. What the file has already must not have changed; to accept
    that a package was published anew, take its entry out of the file. `mcp run --locked REF` and
    `mcp pull --locked` then use exactly these bytes, and ask no registry what they are.

    \b
    Examples:
      mcp lock acme/tool@1.0.0 acme/files@2.1.0
      mcp lock                      # ask again about all of ./mcp.lock
      mcp lock --check              # in CI: is it current, and is nothing revoked?
    """  # noqa: D301  \b is click's mark for text that must not be wrapped
    app = app.with_overrides({"registry": registry, "offline": offline})
    locked = _read(file, needed=check or not references)
    wanted = list(dict.fromkeys(references or locked))

    def work(own: App, reference: PackageReference) -> _Outcome:
        known = locked.get(reference)
        # A package that is named is asked for at the registry in use; the others where they came from.
        at = own if references or known is None else own.at_registry(known.registry)
        downloads.watch(at)
        try:
            return _look(at, reference, known, file, check=check)
        finally:
            if at is not own:
                at.close()

    with show_downloads() as downloads:
        results = for_each(app, wanted, work)
    errors = [result for result in results if isinstance(result, MCPError)]
    renewed = {
        reference: result[0]
        for reference, result in zip(wanted, results, strict=True)
        if not isinstance(result, MCPError)
    }
    if not (check or errors) and locked != {**locked, **renewed}:
        write_lock(file, {**locked, **renewed})
    return _report(file, wanted, results, changed="not written" if check or errors else "locked")


def _read(file: str, *, needed: bool) -> Locked:
    try:
        return read_lock(file)
    except MCPError as error:
        if needed or error.code != "lock-missing":
            raise
    return {}


def _look(
    app: App, reference: PackageReference, known: Resolution | None, file: str, *, check: bool
) -> _Outcome:
    """What the entry should be. Raises ``version-moved``, and with ``check`` ``lock-outdated``."""
    if check:
        answer = app.registry.resolve(reference)
        check_unmoved(app, answer)
        refuse_status(answer)
    else:
        answer = acquire(app, reference, refresh=not app.settings.registry.offline).resolution
    if answer.status == "deprecated":
        app.log.warning(deprecation(answer))
    found = lockable(answer)
    if known is not None and known.registry == found.registry and known.digests != found.digests:
        raise version_moved(
            known,
            *found.digests,
            known=f"{printable(file)} says",
            hint="do not run it; ask the registry's owner what happened "
            f"(if it is meant: take the entry out of the file, then mcp lock {reference})",
        )
    if check and known != found:
        what = "is not in it" if known is None else "has another registry, URL, size or version now"
        raise MCPError(
            "lock-outdated",
            f"{printable(file)} is not current: {reference} {what}",
            hint=f"mcp lock -o {printable(file)} {reference}",
        )
    return found, known == found


def _report(
    file: str, wanted: Sequence[PackageReference], results: Sequence[_Outcome | MCPError], *, changed: str
) -> Report:
    values: list[dict[str, Any]] = []
    rows: list[tuple[str, str, str]] = []
    for reference, result in zip(wanted, results, strict=True):
        if isinstance(result, MCPError):
            values.append({"reference": str(reference), "error": error_value(result)})
            continue
        resolution, same = result
        manifest, bundle = resolution.digests
        values.append(
            {
                "reference": str(reference),
                "registry": resolution.registry,
                "state": "current" if same else changed,
                "manifest": str(manifest),
                "bundle": str(bundle),
            }
        )
        rows.append((str(reference), "current" if same else changed, str(manifest)))
    text = table(("REFERENCE", "STATE", "MANIFEST"), rows) if rows else ""
    errors = tuple(result for result in results if isinstance(result, MCPError))
    return Report({"file": file, "packages": values}, text, errors)
