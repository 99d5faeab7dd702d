"""From a reference to a verified, unpacked package: out of the cache, or from the registry by way of it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, TypeVar

from mcp_client.app import App
from mcp_client.cache.store import CachedPackage
from mcp_client.errors import MCPError, printable
from mcp_client.manifest.entrypoint import files_of
from mcp_client.manifest.model import Manifest, from_form, is_current, to_form
from mcp_client.reference import PackageReference
from mcp_client.resolution import Resolution

_Result = TypeVar("_Result")

_ATTEMPTS = 4
_NO_REFUSAL = frozenset(
    {
        "cache-busy",
        "cache-damaged",
        "cache-unwritable",
        "disk-full",
        "download-truncated",
        "forbidden",
        "rate-limited",
        "registry-unavailable",
        "registry-untrusted",
        "token-expired",
        "unauthorized",
    }
)


def acquire(
    app: App,
    reference: PackageReference,
    *,
    refresh: bool = False,
    offline: bool = False,
    accept: Callable[[Manifest, str | None], object] | None = None,
    meanwhile: AbstractContextManager[None] | None = None,
) -> CachedPackage:
    """The package, ready to run.

    A cached package costs one look-up and no network; with ``refresh`` the registry is asked all the same.
    ``accept`` sees a fetched manifest before its bundle is downloaded, again with the path of its tree, and
    may raise; ``meanwhile`` is entered only while something is fetched. Raises MCPError with the code of
    whatever was wrong; nothing of a package that was refused stays in the cache.
    """
    if not refresh:
        package = _cached(app, reference)
        if package is not None:
            _check_status(package.resolution)
            return package
    if offline:
        raise _missing(app, reference)
    with meanwhile or nullcontext():
        return _undisturbed(app, lambda: _fetch(app, reference, accept))


def acquire_and_hold(app: App, reference: PackageReference, **options: Any) -> tuple[CachedPackage, int]:
    """What acquire() returns, and a descriptor that keeps the package from being removed while it is open."""

    def once() -> tuple[CachedPackage, int]:
        package = acquire(app, reference, **options)
        return package, app.cache.hold(package.tree)

    return _undisturbed(app, once)


def _undisturbed(app: App, action: Callable[[], _Result]) -> _Result:
    """Do ``action`` again when another process removed at that very moment what it had just found.

    Where nothing may be written nothing can be fetched either, so one attempt tells all.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return action()
        except MCPError as error:
            if error.code != "cache-damaged" or not app.cache.writable:
                raise
    return action()


def describe(
    app: App, reference: PackageReference, *, offline: bool = False
) -> tuple[Resolution, Manifest, bool]:
    """Resolution and manifest without the bundle, and whether the package is in the cache."""
    package = _cached(app, reference)
    if package is not None:
        return package.resolution, from_form(package.manifest_form), True
    if offline:
        raise MCPError("offline-missing", f"{reference} is not in the cache", hint="leave out --offline")
    resolution = app.registry.resolve(reference)
    with _nothing_refused_stays(app, resolution):
        return resolution, _manifest(app, resolution), False


def _missing(app: App, reference: PackageReference) -> MCPError:
    """Why a package cannot be had offline."""
    known = app.cache.resolutions.find(reference, app.registry_url)
    doubt = known and app.cache.doubts.get(known.resolution.bundle.digest)
    hint = f"fetch it while online: mcp pull {reference}"
    if doubt:
        return MCPError("cache-damaged", f"what is cached of {reference} was changed, and {doubt}", hint=hint)
    return MCPError(
        "offline-missing", f"{reference} is not in the cache, and --offline forbids the network", hint=hint
    )


def _cached(app: App, reference: PackageReference) -> CachedPackage | None:
    """The package as it is in the cache; a form that another release made is made anew."""
    package = app.cache.find(reference, app.registry_url)
    if package is None or is_current(package.manifest_form):
        return package
    form = to_form(_manifest(app, package.resolution))
    app.cache.resolutions.record(package.resolution, form)
    return package._replace(manifest_form=form)


def _fetch(
    app: App, reference: PackageReference, accept: Callable[[Manifest, str | None], object] | None
) -> CachedPackage:
    resolution = app.registry.resolve(reference)
    _check_status(resolution)
    check_unmoved(app, resolution)
    bundle, limit = resolution.bundle, app.settings.registry.max_bundle
    with _nothing_refused_stays(app, resolution):
        manifest = _manifest(app, resolution)
        if accept is not None:
            accept(manifest, None)
        tree = app.cache.add_bundle(bundle, lambda: app.registry.fetch(bundle, limit), limit)
        if accept is not None:
            accept(manifest, tree)
    form = to_form(manifest)
    app.cache.watch(bundle.digest, files_of(manifest))
    app.cache.resolutions.record(resolution, form)
    app.cache.evict(keep={resolution.manifest.digest, bundle.digest})
    return CachedPackage(resolution, form, tree)


def _manifest(app: App, resolution: Resolution) -> Manifest:
    from mcp_client.manifest.parse import parse_manifest

    limit = app.settings.registry.max_manifest
    descriptor = resolution.manifest
    path = app.cache.add("manifest", descriptor, lambda: app.registry.fetch(descriptor, limit), limit)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise MCPError(
            "cache-damaged", f"cannot read {path}: {error.strerror}", hint="run the same command again"
        ) from error
    manifest = parse_manifest(data)
    check_identity(resolution, manifest)
    return manifest


@contextmanager
def _nothing_refused_stays(app: App, resolution: Resolution) -> Iterator[None]:
    """When a package is refused, remove what was stored for it and belongs to no other.

    A failure that says nothing about the package leaves it alone: another process may be about to succeed.
    """
    try:
        yield
    except MCPError as error:
        if error.code in _NO_REFUSAL:
            raise
        digests = {resolution.manifest.digest, resolution.bundle.digest}
        with suppress(MCPError):
            orphans = {e.digest for e in app.cache.entries() if e.digest in digests and not e.references}
            app.cache.remove(orphans)
        raise


def _check_status(resolution: Resolution) -> None:
    if resolution.status in {"revoked", "quarantined"}:
        raise MCPError(
            "package-revoked",
            f"{resolution.reference} is {resolution.status} by its registry",
            hint="use another version; the package's author knows why",
        )


def check_unmoved(app: App, resolution: Resolution) -> None:
    """Raise ``version-moved``: what means something else today was tampered with, or its registry was."""
    known = app.cache.resolutions.find(resolution.reference, app.registry_url)
    if known is None:
        return
    for kind, before, now in (
        ("manifest", known.resolution.manifest.digest, resolution.manifest.digest),
        ("bundle", known.resolution.bundle.digest, resolution.bundle.digest),
    ):
        if before != now:
            raise MCPError(
                "version-moved",
                f"{resolution.reference} used to be another {kind}: {before}, and now is {now}",
                hint="do not run it; ask the registry's owner what happened",
                details={"before": str(before), "now": str(now)},
            )


def check_identity(resolution: Resolution, manifest: Manifest) -> None:
    """Raise ``manifest-mismatch`` when the manifest is of another package or version."""
    reference = resolution.reference
    version = reference.selector if reference.kind == "version" else resolution.version
    if manifest.name != reference.package or version not in {None, manifest.version}:
        raise MCPError(
            "manifest-mismatch",
            f"asked for {reference}, and the manifest is of "
            f"{printable(manifest.name)}@{printable(manifest.version)}",
            hint="the registry serves the wrong package; nothing was run",
        )
