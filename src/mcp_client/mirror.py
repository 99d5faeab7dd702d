"""From a registry into a folder that is one: what ``mcp pull --to`` does for each package.

A machine that feeds others need not be like them: no entrypoint for it is asked for, nothing is unpacked, and
nothing goes through its own cache.
"""

from collections.abc import Callable, Iterator

from mcp_client.acquire import check_identity, check_unmoved
from mcp_client.app import App
from mcp_client.cache.rehearse import check_bundle
from mcp_client.cache.resolutions import version_moved
from mcp_client.errors import MCPError
from mcp_client.manifest.parse import parse_manifest
from mcp_client.reference import PackageReference
from mcp_client.registry.writer import DirectoryWriter
from mcp_client.resolution import Descriptor, Resolution


def mirror_package(
    app: App, reference: PackageReference, folder: str, told: Resolution | None = None
) -> tuple[Resolution, bool]:
    """Add the package to the directory registry ``folder``; its answer there, and whether that is new.

    The registry is always asked, since its answer has the status, and what it says of a package that is
    revoked reaches the folder too. ``told`` is what a lock says it must answer. Raises ``version-moved``
    rather than overwrite an answer, and MCPError with the code of whatever is wrong; the folder then is
    without the package, or has it whole.
    """
    writer = DirectoryWriter(folder)
    resolution = app.registry.resolve(reference)
    check_unmoved(app, resolution)
    if told is not None and told.digests != resolution.digests:
        raise version_moved(told, *resolution.digests, known="the lock says")
    if resolution.status in {"revoked", "quarantined"}:
        raise _revoked(resolution, passed_on=writer.restate(resolution))
    # Before gigabytes are fetched in vain.
    writer.refuse_moved(resolution)
    limits = app.settings.registry

    def check_manifest(path: str) -> str:
        with open(path, "rb") as file:
            manifest = parse_manifest(file.read())
        check_identity(resolution, manifest)
        return manifest.version

    stored = writer.add_artifact(
        resolution.manifest.digest,
        _fetching(app, resolution.manifest, limits.max_manifest),
        check_manifest,
    )
    # One that was here already may belong to another package.
    version = check_manifest(stored.path)
    bundle = writer.add_artifact(
        resolution.bundle.digest,
        _fetching(app, resolution.bundle, limits.max_bundle),
        lambda path: check_bundle(path, app.settings.cache),
    )
    answer = resolution._replace(
        manifest=stored.descriptor, bundle=bundle.descriptor, version=resolution.version or version
    )
    return answer, writer.publish(answer)


def _fetching(app: App, descriptor: Descriptor, limit: int) -> Callable[[], Iterator[bytes]]:
    return lambda: app.registry.fetch(descriptor, limit)


def _revoked(resolution: Resolution, *, passed_on: bool) -> MCPError:
    done = "the mirror now says so as well" if passed_on else "nothing was stored"
    return MCPError(
        "package-revoked",
        f"{resolution.reference} is {resolution.status} by its registry",
        hint=f"{done}; use another version",
    )
