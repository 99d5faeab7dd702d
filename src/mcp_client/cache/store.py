"""The content store: artifacts and unpacked trees by digest, with what references resolved to beside them.

A warm run does one SELECT and one stat here. What downloads, unpacks and evicts is imported when it is
needed.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from mcp_client.cache.database import Database
from mcp_client.cache.resolutions import Resolutions
from mcp_client.config.settings import CacheSettings
from mcp_client.digest import Digest
from mcp_client.errors import MCPError
from mcp_client.reference import PackageReference
from mcp_client.resolution import Descriptor, Resolution, Standing

ArtifactKind = Literal["manifest", "bundle"]
_FILES: Mapping[str, tuple[str, str]] = {
    "manifest": ("manifests", "manifest.json"),
    "bundle": ("bundles", "bundle.tar.gz"),
}


class CachedPackage(NamedTuple):
    """A package that is ready to run: its resolution, the manifest's validated form, its tree's path."""

    resolution: Resolution
    manifest_form: dict[str, Any]
    tree: str
    standing: Standing = Standing()


class Entry(NamedTuple):
    """One stored thing; ``size`` in bytes of its files, ``used`` in seconds since the epoch."""

    kind: str
    digest: Digest
    size: int
    references: tuple[str, ...]
    used: float
    path: str


class Cache:
    """Everything below ``cache.dir``, shared by any number of processes."""

    def __init__(self, settings: CacheSettings) -> None:
        """Nothing is read or made yet."""
        self.settings = settings
        self.folder = settings.dir
        self.database = Database(os.path.join(settings.dir, "metadata.db"))
        self.resolutions = Resolutions(self.database)

    def close(self) -> None:
        """Let go of the database; it is opened again when it is needed."""
        self.database.close()

    # -- reading -------------------------------------------------------------------------------------------

    def find(self, reference: PackageReference, registry_url: str) -> CachedPackage | None:
        """The package if it can run without asking anybody, else None."""
        known = self.resolutions.find(reference, registry_url)
        if known is None or known.manifest_form is None:
            return None
        tree = self.tree_path(known.resolution.bundle.digest)
        if not os.path.isdir(tree):
            return None
        return CachedPackage(known.resolution, known.manifest_form, tree, known.standing)

    def artifact_path(self, kind: ArtifactKind, digest: Digest) -> str:
        """Where the artifact is, or would be."""
        folder, name = _FILES[kind]
        return os.path.join(self.folder, folder, digest.file_name, name)

    def tree_path(self, digest: Digest) -> str:
        """Where the bundle's tree is, or would be."""
        return os.path.join(self.folder, "trees", digest.file_name)

    def hold(self, tree: str) -> int:
        """A descriptor whose shared lock keeps ``tree`` from being removed while it is open.

        Raises ``cache-damaged`` when the tree is gone or going.
        """
        descriptor = -1
        try:
            descriptor = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            # It may have been moved away, and another one unpacked, before the lock was ours.
            if not os.path.samestat(os.stat(tree), os.fstat(descriptor)):
                raise FileNotFoundError
        except OSError as error:
            if descriptor >= 0:
                os.close(descriptor)
            raise MCPError(
                "cache-damaged", f"{tree} is being removed", hint="run the same command again"
            ) from error
        return descriptor

    # -- writing -------------------------------------------------------------------------------------------

    def add(
        self,
        kind: ArtifactKind,
        descriptor: Descriptor,
        chunks: Callable[[], Iterator[bytes]],
        limit: int,
    ) -> str:
        """Store an artifact and return its path, where exactly the bytes of the digest are then.

        ``chunks`` is called only when they are not here yet, by one of all processes that want them. At most
        ``limit`` bytes are taken. Raises ``digest-mismatch``, ``download-too-large``, ``disk-full`` and
        ``cache-unwritable``, and what ``chunks`` raises; nothing is left behind then.
        """
        from mcp_client.cache.publish import publish_artifact

        path = self.artifact_path(kind, descriptor.digest)
        return publish_artifact(self.folder, kind, path, descriptor, chunks, limit)

    def unpack(self, digest: Digest) -> str:
        """Unpack a stored bundle, once, and return its tree, read-only and readable by every user.

        Raises ``bundle-*``, and the bundle is removed then; ``cache-damaged`` when it is not here (any more),
        ``disk-full`` and ``cache-unwritable``.
        """
        from mcp_client.cache.publish import publish_tree

        archive, tree = self.artifact_path("bundle", digest), self.tree_path(digest)
        size = publish_tree(self.folder, archive, tree, self.settings)
        if size is not None:
            self.database.note("insert or replace into tree values (?, ?)", str(digest), size)
        return tree

    # -- keeping house -------------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """Everything stored: manifests, bundles and trees."""
        from mcp_client.cache.inventory import list_entries

        return list_entries(self)

    def remove(self, digests: set[Digest]) -> list[Entry]:
        """Remove everything stored under these digests. Raises ``in-use`` when a server runs from one."""
        from mcp_client.cache.inventory import remove_entries

        return remove_entries(self, digests)

    def evict(self, keep: set[Digest]) -> list[Entry]:
        """Remove what is over ``max_size`` or unused for ``ttl``, least recently used first, but ``keep``."""
        from mcp_client.cache.inventory import evict_entries

        return evict_entries(self, keep)
