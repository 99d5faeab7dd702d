"""From a lock file's entry to a package: exactly these bytes, and no registry is asked what they are."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext, suppress

from mcp_client.acquire import fetch_package
from mcp_client.cache.resolutions import Known, version_moved
from mcp_client.cache.store import CachedPackage
from mcp_client.errors import MCPError, printable
from mcp_client.light import TYPE_CHECKING
from mcp_client.lock import entry, read_lock
from mcp_client.manifest.model import is_current
from mcp_client.standing import refuse_status

if TYPE_CHECKING:
    from mcp_client.acquire import Accept
    from mcp_client.app import App
    from mcp_client.cache.store import ArtifactKind
    from mcp_client.reference import PackageReference
    from mcp_client.resolution import Descriptor, Resolution

# What a lock says about a registry is not what that registry said: kept apart, a hostile lock can neither be
# taken for the registry's answer later nor reach the data of a package it only claims to be.
_WORLD = "lock+"


def acquire_locked(
    app: App,
    reference: PackageReference,
    file: str,
    *,
    accept: Accept | None = None,
    meanwhile: AbstractContextManager[None] | None = None,
) -> CachedPackage:
    """The package that the lock ``file`` binds ``reference`` to, from the cache or by its artifacts' URLs.

    The rest as for acquire(). Raises ``lock-*`` besides, and ``version-moved`` and ``package-revoked`` for
    what is remembered of the lock's registry.
    """
    told = entry(read_lock(file), reference, file)
    return acquire_entry(app, told, file, accept=accept, meanwhile=meanwhile)


def acquire_entry(
    app: App,
    told: Resolution,
    file: str,
    *,
    accept: Accept | None = None,
    meanwhile: AbstractContextManager[None] | None = None,
) -> CachedPackage:
    """See acquire_locked(); ``told`` is one entry of the lock ``file``."""
    _refuse_remembered(app, told, file)
    own = _own(told)
    remembered = app.cache.resolutions.find(told.reference, told.registry)
    if remembered is not None:
        own = own._replace(status=remembered.resolution.status, message=remembered.resolution.message)
    package = _find(app, told, own)
    if package is not None:
        return package
    _refuse_unreachable(app, told, file)
    at = app if app.registry_url == told.registry else app.at_registry(told.registry)
    app.drop_head_start()
    with meanwhile or nullcontext():
        return fetch_package(
            at, own, accept, before_record=at.cache.resolutions.forget_contradictions, checked=0.0
        )


def is_cached(app: App, told: Resolution) -> bool:
    """Whether acquire_entry() would fetch nothing."""
    return _find(app, told, _own(told)) is not None


def _own(told: Resolution) -> Resolution:
    return told._replace(registry=_WORLD + told.registry)


def _find(app: App, told: Resolution, own: Resolution) -> CachedPackage | None:
    """The package as it is in the cache, whether it came by a lock or its registry said the same."""
    resolutions = app.cache.resolutions
    known = resolutions.find(own.reference, own.registry)
    by_lock = known is not None and _is_ready(known, own)
    if not by_lock:
        known = resolutions.find(told.reference, told.registry)
    if known is None or not _is_ready(known, own) or not app.cache.is_ready(own.bundle.digest):
        return None
    form = known.manifest_form or {}
    if not by_lock:
        # What cannot be noted is found the long way again.
        with suppress(MCPError):
            resolutions.forget_contradictions(own)
            resolutions.record(own, form, checked=0.0)
    return CachedPackage(own, form, app.cache.tree_path(own.bundle.digest))


def _is_ready(known: Known, own: Resolution) -> bool:
    return (
        known.resolution.digests == own.digests
        and known.manifest_form is not None
        and is_current(known.manifest_form)
    )


def _refuse_remembered(app: App, told: Resolution, file: str) -> None:
    """Raise what is known against an entry: its registry withdrew it, or said something else before."""
    withdrawn = app.cache.resolutions.withdrawn(told)
    if withdrawn is not None:
        refuse_status(withdrawn)
    for before in app.cache.resolutions.contradictions(told):
        raise version_moved(
            before,
            *told.digests,
            known=f"{printable(file)} says",
            hint="one of the two is wrong; what the registry says now shows 'mcp pull --refresh "
            f"{told.reference}', and 'mcp pull --accept-moved {told.reference}' accepts it",
        )


def _refuse_unreachable(app: App, told: Resolution, file: str) -> None:
    """Raise when something must be fetched and cannot: it has no URL, or the network is forbidden."""
    artifacts: tuple[tuple[ArtifactKind, Descriptor], ...]
    artifacts = (("manifest", told.manifest), ("bundle", told.bundle))
    for kind, descriptor in artifacts:
        if os.path.exists(app.cache.artifact_path(kind, descriptor.digest)):
            continue
        if app.settings.registry.offline:
            raise MCPError(
                "offline-missing",
                f"the {kind} of {told.reference} is not in the cache, and --offline forbids to fetch it",
                hint="fetch it while online: mcp pull --locked",
            )
        if not descriptor.url:
            raise MCPError(
                "lock-incomplete",
                f"{printable(file)} has no URL for the {kind} of {told.reference}, which is not cached",
                hint="the registry hands out signed URLs, which no lock can hold; ask it for a fresh one: "
                f"mcp pull {told.reference} --registry {told.registry}",
            )
