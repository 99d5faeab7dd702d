"""``mcp pull``: fetch, verify and unpack packages, so that they can run without a network; or mirror them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from mcp_client.acquire import acquire, acquire_moved
from mcp_client.app import App
from mcp_client.cache.store import CachedPackage
from mcp_client.cli.options import json_option, lock_options, offline_option, registry_option
from mcp_client.cli.output import Report, error_value, table
from mcp_client.cli.parallel import for_each
from mcp_client.cli.progress import show_downloads
from mcp_client.cli.reference import REFERENCE
from mcp_client.errors import MCPError
from mcp_client.lock import entry, read_lock
from mcp_client.locked import acquire_entry, is_cached
from mcp_client.reference import PackageReference
from mcp_client.resolution import Resolution
from mcp_client.standing import deprecation


class Wanted(NamedTuple):
    """One package to pull; ``told`` is what the lock file binds it to, where there is one."""

    reference: PackageReference
    told: Resolution | None = None


class Pulled(NamedTuple):
    """What came of it: ``cached`` when nothing was asked, ``before`` what was given up for it."""

    package: CachedPackage
    cached: bool
    before: tuple[Resolution, ...] = ()


@click.command(short_help="Fetch and verify packages without running them.")
@click.argument("references", metavar="REF...", nargs=-1, type=REFERENCE)
@registry_option
@click.option("--refresh", is_flag=True, help="Ask the registry about packages that are cached, too.")
@click.option(
    "--accept-moved", is_flag=True, help="Accept that REF means something else than before; it is recorded."
)
@click.option(
    "--to",
    "mirror",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Write into DIR, a registry for other machines, and not into the cache.",
)
@offline_option
@lock_options
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but what goes wrong.")
@json_option
@click.pass_obj
def pull(
    app: App,
    *,
    references: Sequence[PackageReference],
    registry: str | None,
    refresh: bool,
    accept_moved: bool,
    mirror: str | None,
    offline: str | None,
    lock: str | None,
    quiet: bool,
) -> Report:
    """Fetch the packages REF, verify and unpack them, and run nothing.

    Several are fetched at once. All of them are tried; the exit status tells whether one has failed.

    \b
    Examples:
      mcp pull acme/hello-world@1.2.3
      mcp pull acme/tool@1.0.0 acme/files@2.1.0 --json
      mcp pull --refresh acme/tool@1.0.0     # has it been revoked?
      mcp pull --locked                      # all of ./mcp.lock, exactly
      mcp pull --to /srv/mcp acme/tool@1.0.0 # then elsewhere: --registry file:///srv/mcp
    """  # noqa: D301  \b is click's mark for text that must not be wrapped
    app = app.with_overrides({"registry": registry, "offline": offline})
    asks = [name for name, given in (("--refresh", refresh), ("--accept-moved", accept_moved)) if given]
    _refuse_contradictions(asks, lock=lock is not None, offline=app.settings.registry.offline)
    wanted = _wanted(references, lock)
    if mirror is not None:
        from mcp_client.cli.mirror import fill_mirror

        _refuse_contradictions(["--to"], lock=False, offline=app.settings.registry.offline)
        return fill_mirror(app, wanted, mirror, quiet=quiet)

    def work(own: App, one: Wanted) -> Pulled:
        elsewhere = one.told is not None and one.told.registry != own.registry_url
        at = (
            own.with_overrides({"registry": one.told.registry}) if one.told is not None and elsewhere else own
        )
        downloads.watch(at, one.told)
        try:
            return _pull(at, one, lock, refresh=refresh, accept_moved=accept_moved)
        finally:
            if at is not own:
                at.close()

    with show_downloads(quiet=quiet) as downloads:
        results = for_each(app, wanted, work)
    return _report(app, wanted, results, quiet=quiet)


def _refuse_contradictions(asks: Sequence[str], *, lock: bool, offline: bool) -> None:
    """Raise ``usage`` for options that ask a registry beside those that forbid it."""
    if asks and (lock or offline):
        raise MCPError(
            "usage",
            f"{asks[0]} asks the registry, and {'--locked' if lock else '--offline'} does not",
            hint="leave out one of them",
        )


def _wanted(references: Sequence[PackageReference], lock: str | None) -> list[Wanted]:
    named = list(dict.fromkeys(references))
    if lock is not None:
        locked = read_lock(lock)
        return [Wanted(reference, entry(locked, reference, lock)) for reference in named or locked]
    if not named:
        raise MCPError("usage", "missing argument 'REF...'", hint="mcp pull --help")
    return [Wanted(reference) for reference in named]


def _pull(app: App, wanted: Wanted, lock: str | None, *, refresh: bool, accept_moved: bool) -> Pulled:
    reference = wanted.reference
    if accept_moved:
        package, before = acquire_moved(app, reference)
        return Pulled(package, cached=False, before=before)
    if wanted.told is not None and lock is not None:
        cached = is_cached(app, wanted.told)
        return Pulled(acquire_entry(app, wanted.told, lock), cached)
    cached = not refresh and app.cache.find(reference, app.registry_url) is not None
    return Pulled(acquire(app, reference, refresh=refresh), cached)


def _report(
    app: App, wanted: Sequence[Wanted], results: Sequence[Pulled | MCPError], *, quiet: bool
) -> Report:
    values: list[dict[str, Any]] = []
    errors: list[MCPError] = []
    rows: list[tuple[str, str, str, str]] = []
    for one, result in zip(wanted, results, strict=True):
        if isinstance(result, MCPError):
            values.append({"reference": str(one.reference), "error": error_value(result)})
            errors.append(result)
            continue
        resolution = result.package.resolution
        if resolution.status == "deprecated":
            app.log.warning(deprecation(resolution))
        for before in result.before:
            app.log.warning(_accepted(before, resolution))
        values.append({**_value(result), **({} if one.told is None else {"status": None})})
        state = "cached" if result.cached else "pulled"
        # A lock does not tell how its packages stand, and nobody was asked.
        status = resolution.status if one.told is None else "-"
        rows.append((str(one.reference), state, status, str(resolution.manifest.digest)))
    text = table(("REFERENCE", "STATE", "STATUS", "MANIFEST"), rows) if rows and not quiet else ""
    return Report({"packages": values}, text, tuple(errors))


def _accepted(before: Resolution, now: Resolution) -> str:
    return (
        f"{before.reference} was manifest {before.manifest.digest} with bundle {before.bundle.digest}, "
        f"and {now.reference} is manifest {now.manifest.digest} with bundle {now.bundle.digest} from now on"
    )


def _value(pulled: Pulled) -> dict[str, Any]:
    resolution = pulled.package.resolution
    return {
        "reference": str(resolution.reference),
        "registry": resolution.registry,
        "status": resolution.status,
        "message": resolution.message,
        "cached": pulled.cached,
        "manifest": str(resolution.manifest.digest),
        "bundle": str(resolution.bundle.digest),
        **(
            {
                "accepted": [
                    {"manifest": str(old.manifest.digest), "bundle": str(old.bundle.digest)}
                    for old in pulled.before
                ]
            }
            if pulled.before
            else {}
        ),
    }
