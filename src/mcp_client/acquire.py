"""From a reference to a verified, unpacked package: out of the cache, or from the registry by way of it."""

from __future__ import annotations

import time

from mcp_client.cache.store import CachedPackage
from mcp_client.errors import MCPError, printable
from mcp_client.light import TYPE_CHECKING, NamedTuple
from mcp_client.manifest.entrypoint import files_of
from mcp_client.manifest.model import Manifest, from_form, is_current, to_form
from mcp_client.resolution import Standing
from mcp_client.standing import refuse_moved, refuse_status, refuse_unfit, weigh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from typing import TypeVar

    from mcp_client.app import App
    from mcp_client.reference import PackageReference
    from mcp_client.resolution import Descriptor, Resolution

    _Result = TypeVar("_Result")

    Accept = Callable[[Manifest, str | None], object]

_ATTEMPTS = 4
_NO_REFUSAL = frozenset(
    {
        "cache-busy",
        "audit-unwritable",
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
    accept: Accept | None = None,
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
            refuse_unfit(package)
            return package
    _refuse_offline(app, reference)
    from contextlib import nullcontext

    app.drop_head_start()
    with meanwhile or nullcontext():
        return _undisturbed(app, lambda: _resolve_and_fetch(app, reference, accept))


def hold_package(app: App, get: Callable[[], CachedPackage]) -> tuple[CachedPackage, int]:
    """What ``get`` returns, and a descriptor that keeps the package from being removed while it is open."""

    def once() -> tuple[CachedPackage, int]:
        package = get()
        return package, app.cache.hold(package.tree)

    return _undisturbed(app, once)


def _resolve_and_fetch(app: App, reference: PackageReference, accept: Accept | None) -> CachedPackage:
    resolution = app.registry.resolve(reference)
    app.mark("resolve")
    weigh(app.cache.resolutions, resolution)
    return fetch_package(app, resolution, accept)


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


def acquire_moved(app: App, reference: PackageReference) -> tuple[CachedPackage, tuple[Resolution, ...]]:
    """The package as its registry says now, whatever it said before; with what it was until now.

    The audit log tells of it, or nothing changes. Raises like acquire().
    """
    _refuse_offline(app, reference)
    resolution = app.registry.resolve(reference)
    refuse_status(resolution)
    before = tuple(app.cache.resolutions.contradictions(resolution))

    def decided(known: Resolution) -> None:
        from mcp_client.audit import events
        from mcp_client.audit.run_id import new_run_id

        for one in before:
            app.audit.append(events.moved(new_run_id(), before=one, now=known))
        app.cache.resolutions.forget_contradictions(known)

    return fetch_package(app, resolution, None, before_record=decided), before


class Described(NamedTuple):
    """A package as far as its manifest tells; ``cached`` when it is ready to run."""

    resolution: Resolution
    manifest: Manifest
    standing: Standing
    cached: bool


def describe(app: App, reference: PackageReference) -> Described:
    """What a package is, without its bundle.

    A package that may not run is described all the same, but not one that moved.
    """
    package = _cached(app, reference)
    if package is not None:
        return Described(package.resolution, from_form(package.manifest_form), package.standing, cached=True)
    _refuse_offline(app, reference)
    resolution = app.registry.resolve(reference)
    try:
        weigh(app.cache.resolutions, resolution)
    except MCPError as error:
        # It may be looked at though it may not run.
        if error.code != "package-revoked":
            raise
    with _nothing_refused_stays(app, resolution):
        manifest = verified_manifest(app, resolution)
        now = time.time()
        # Who has looked at it decides about these bytes.
        app.cache.resolutions.record(resolution, to_form(manifest), checked=now)
        return Described(resolution, manifest, Standing(now, now), cached=False)


def fetch_package(
    app: App,
    resolution: Resolution,
    accept: Accept | None,
    *,
    before_record: Callable[[Resolution], None] = lambda _resolution: None,
    checked: float | None = None,
) -> CachedPackage:
    """Both artifacts of ``resolution``, verified and unpacked, and remembered as of ``checked`` (now)."""
    bundle, limit = resolution.bundle, app.settings.registry.max_bundle
    with _nothing_refused_stays(app, resolution):
        manifest = verified_manifest(app, resolution)
        app.mark("manifest")
        if accept is not None:
            accept(manifest, None)
        tree = app.cache.add_bundle(bundle, lambda: _download(app, bundle, limit), limit)
        app.mark("rest of unpacking, and flush")
        if accept is not None:
            accept(manifest, tree)
        form, checked = to_form(manifest), time.time() if checked is None else checked
        app.cache.watch(bundle.digest, files_of(manifest))
        before_record(resolution)
        app.cache.resolutions.record(resolution, form, checked=checked)
    app.cache.evict(keep=set(resolution.digests))
    return CachedPackage(resolution, form, tree, Standing(checked, checked))


def _download(app: App, bundle: Descriptor, limit: int) -> Iterator[bytes]:
    chunks = app.registry.fetch(bundle, limit)
    return chunks if app.timings is None else app.timings.follow(chunks, "download while unpacking")


def verified_manifest(app: App, resolution: Resolution) -> Manifest:
    """The manifest, from the cache or fetched: bytes of the digest, name and version as asked for."""
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


def _cached(app: App, reference: PackageReference) -> CachedPackage | None:
    """The package as it is in the cache; a form that another release made is made anew."""
    package = app.cache.find(reference, app.registry_url)
    if package is None or is_current(package.manifest_form):
        return package
    form = to_form(verified_manifest(app, package.resolution))
    app.cache.resolutions.renew_form(package.resolution, form)
    return package._replace(manifest_form=form)


def _refuse_offline(app: App, reference: PackageReference) -> None:
    if not app.settings.registry.offline:
        return
    known = app.cache.resolutions.find(reference, app.registry_url)
    doubt = known and app.cache.doubts.get(known.resolution.bundle.digest)
    hint = f"fetch it while online: mcp pull {reference}"
    if doubt:
        raise MCPError("cache-damaged", f"what is cached of {reference} was changed, and {doubt}", hint=hint)
    raise MCPError(
        "offline-missing",
        f"{reference} is not in the cache, and --offline forbids to ask a registry",
        hint=hint,
    )


class _nothing_refused_stays:  # noqa: N801  reads as the statement it is used as
    """When a package is refused, remove what was stored for it and belongs to no other.

    A failure that says nothing about the package leaves it alone: another process may be about to succeed.
    """

    def __init__(self, app: App, resolution: Resolution) -> None:
        self._app, self._digests = app, set(resolution.digests)

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """The failure goes on."""
        if not isinstance(error, MCPError) or error.code in _NO_REFUSAL:
            return
        from contextlib import suppress

        cache = self._app.cache
        with suppress(MCPError):
            orphans = {e.digest for e in cache.entries() if e.digest in self._digests and not e.references}
            cache.remove(orphans)


def check_unmoved(app: App, resolution: Resolution) -> None:
    """Raise ``version-moved`` for an answer that cannot be true together with an earlier one, and note it."""
    refuse_moved(app.cache.resolutions, resolution)


def check_identity(resolution: Resolution, manifest: Manifest) -> None:
    """Raise ``manifest-mismatch`` when the manifest is of another package or version."""
    reference = resolution.reference
    version = reference.selector if reference.kind == "version" else resolution.version
    if manifest.name != reference.package or version not in {None, manifest.version}:
        raise MCPError(
            "manifest-mismatch",
            f"asked for {reference}"
            + ("" if version in {None, reference.selector} else f", said to be version {version}")
            + f", and the manifest is of {printable(manifest.name)}@{printable(manifest.version)}",
            hint="the registry serves the wrong package; nothing was run",
        )
