"""``mcp pull``: fetch, verify and unpack packages, so that they can run without a network; or mirror them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from mcp_client.acquire import acquire, acquire_moved
from mcp_client.app import App
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
    """What came of it: cached (nothing was asked) or pulled, present or mirrored in a folder.

    ``before`` is what was given up for it.
    """

    resolution: Resolution
    state: str
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
    help="Write them into DIR, a registry for other machines, and not into the cache.",
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
    _refuse_contradictions(
        {
            "--refresh": refresh,
            "--accept-moved": accept_moved,
            "--to": mirror is not None,
            "--offline": app.settings.registry.offline,
            "--locked": lock is not None,
        }
    )
    wanted = _wanted(references, lock)
    with show_downloads(quiet=quiet) as downloads:

        def work(own: App, one: Wanted) -> Pulled:
            elsewhere = one.told is not None and one.told.registry != own.registry_url
            at = own.at_registry(one.told.registry) if one.told and elsewhere else own
            downloads.watch(at, one.told)
            try:
                if mirror is not None:
                    return _mirror(at, one, mirror)
                if accept_moved:
                    package, before = acquire_moved(at, one.reference)
                    return Pulled(package.resolution, "pulled", before)
                return _pull(at, one, lock, refresh=refresh)
            finally:
                if at is not own:
                    at.close()

        results = for_each(app, wanted, work)
    return _report(app, wanted, results, quiet=quiet)


# Of each pair one asks the registry, and the other one forbids it or has another place in mind.
_CONTRADICTIONS = (
    ("--refresh", "--offline"),
    ("--refresh", "--locked"),
    ("--accept-moved", "--offline"),
    ("--accept-moved", "--locked"),
    ("--to", "--offline"),
    ("--to", "--accept-moved"),
)


def _refuse_contradictions(given: dict[str, bool]) -> None:
    for one, other in _CONTRADICTIONS:
        if given[one] and given[other]:
            raise MCPError("usage", f"{one} and {other} exclude each other", hint="leave out one of them")


def _wanted(references: Sequence[PackageReference], lock: str | None) -> list[Wanted]:
    named = list(dict.fromkeys(references))
    if lock is not None:
        locked = read_lock(lock)
        return [Wanted(reference, entry(locked, reference, lock)) for reference in named or locked]
    if not named:
        raise MCPError("usage", "missing argument 'REF...'", hint="mcp pull --help")
    return [Wanted(reference) for reference in named]


def _pull(app: App, wanted: Wanted, lock: str | None, *, refresh: bool) -> Pulled:
    reference = wanted.reference
    if wanted.told is not None and lock is not None:
        cached = is_cached(app, wanted.told)
        package = acquire_entry(app, wanted.told, lock)
    else:
        cached = not refresh and app.cache.find(reference, app.registry_url) is not None
        package = acquire(app, reference, refresh=refresh)
    return Pulled(package.resolution, "cached" if cached else "pulled")


def _mirror(app: App, wanted: Wanted, folder: str) -> Pulled:
    from mcp_client.mirror import mirror_package

    resolution, changed = mirror_package(app, wanted.reference, folder, wanted.told)
    return Pulled(resolution, "mirrored" if changed else "present")


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
        resolution = result.resolution
        if resolution.status == "deprecated":
            app.log.warning(deprecation(resolution))
        for before in result.before:
            app.log.warning(_accepted(before, resolution))
        # A lock does not tell how its packages stand, and nobody was asked, unless it was for a mirror.
        asked = one.told is None or result.state in {"mirrored", "present"}
        status = resolution.status if asked else None
        values.append({**_value(result), "status": status})
        rows.append((str(one.reference), result.state, status or "-", str(resolution.manifest.digest)))
    text = table(("REFERENCE", "STATE", "STATUS", "MANIFEST"), rows) if rows and not quiet else ""
    return Report({"packages": values}, text, tuple(errors))


def _accepted(before: Resolution, now: Resolution) -> str:
    return (
        f"{before.reference} was manifest {before.manifest.digest} with bundle {before.bundle.digest}, "
        f"and {now.reference} is manifest {now.manifest.digest} with bundle {now.bundle.digest} from now on"
    )


def _value(pulled: Pulled) -> dict[str, Any]:
    resolution = pulled.resolution
    value: dict[str, Any] = {
        "reference": str(resolution.reference),
        "registry": resolution.registry,
        "state": pulled.state,
        "cached": pulled.state == "cached",
        "message": resolution.message,
        "manifest": str(resolution.manifest.digest),
        "bundle": str(resolution.bundle.digest),
    }
    if pulled.before:
        value["accepted"] = [
            {"manifest": str(old.manifest.digest), "bundle": str(old.bundle.digest)} for old in pulled.before
        ]
    return value
