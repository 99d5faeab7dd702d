"""The content store: artifacts by digest, unpacked trees, and what every reference resolved to.

A warm run does one SELECT and one stat here. What downloads, unpacks and evicts is imported when it is
needed.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from mcp_client.cache.database import Database
from mcp_client.config.settings import CacheSettings
from mcp_client.digest import Digest, parse_digest
from mcp_client.errors import MCPError
from mcp_client.reference import PackageReference, parse_reference
from mcp_client.resolution import Descriptor, Resolution

ArtifactKind = Literal["manifest", "bundle"]
_FILES: Mapping[str, tuple[str, str]] = {
    "manifest": ("manifests", "manifest.json"),
    "bundle": ("bundles", "bundle.tar.gz"),
}
_COLUMNS = (
    "registry, reference, manifest_digest, manifest_url, manifest_size, "
    "bundle_digest, bundle_url, bundle_size, status, version"
)


class CachedPackage(NamedTuple):
    """A package that is ready to run: its resolution, the manifest's validated form, its tree's path."""

    resolution: Resolution
    manifest_form: dict[str, Any]
    tree: str


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

    def close(self) -> None:
        """Let go of the database; it is opened again when it is needed."""
        self.database.close()

    # -- reading -------------------------------------------------------------------------------------------

    def find(self, reference: PackageReference, registry_url: str) -> CachedPackage | None:
        """The package if it can run without asking anybody, else None."""
        rows = self.database.select(
            f"select {_COLUMNS}, form from resolution where registry = ? and reference = ?",  # noqa: S608
            (registry_url, str(reference)),
        )
        if not rows:
            return None
        *columns, form = rows[0]
        resolution = _to_resolution(columns)
        tree = self.tree_path(resolution.bundle.digest)
        if not os.path.isdir(tree):
            return None
        try:
            return CachedPackage(resolution, json.loads(form), tree)
        except ValueError:
            return None

    def pinned(self, reference: PackageReference, registry_url: str) -> Resolution | None:
        """What the reference resolved to before, whether or not the artifacts are still here."""
        rows = self.database.select(
            f"select {_COLUMNS} from resolution where registry = ? and reference = ?",  # noqa: S608
            (registry_url, str(reference)),
        )
        return _to_resolution(rows[0]) if rows else None

    def references(self) -> list[tuple[PackageReference, str]]:
        """Every reference that was ever resolved, with its registry, latest use first."""
        rows = self.database.select("select reference, registry from resolution order by used desc")
        return [(parse_reference(reference), registry) for reference, registry in rows]

    def dialect(self, origin: str) -> str | None:
        """How the registry at ``origin`` was spoken to last."""
        rows = self.database.select("select dialect from dialect where origin = ?", (origin,))
        return str(rows[0][0]) if rows else None

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
            self._note("insert or replace into tree values (?, ?)", str(digest), size)
        return tree

    def record(self, resolution: Resolution, manifest_form: Mapping[str, Any]) -> None:
        """Remember what the reference means and that it is ready."""
        now = time.time()
        manifest, bundle = resolution.manifest, resolution.bundle
        row = (
            resolution.registry,
            str(resolution.reference),
            *(str(manifest.digest), manifest.url, manifest.size),
            *(str(bundle.digest), bundle.url, bundle.size),
            *(resolution.status, resolution.version),
            *(json.dumps(manifest_form), now, now),
        )
        self.database.write(
            f"insert or replace into resolution ({_COLUMNS}, form, created, used) "  # noqa: S608
            f"values ({', '.join('?' * len(row))})",
            [row],
        )

    def touch(self, resolution: Resolution) -> None:
        """Note a use."""
        self._note(
            "update resolution set used = ? where registry = ? and reference = ?",
            *(time.time(), resolution.registry, str(resolution.reference)),
        )

    def remember_dialect(self, origin: str, dialect: str) -> None:
        """Note how a registry is spoken to."""
        self._note("insert or replace into dialect values (?, ?)", origin, dialect)

    def _note(self, statement: str, *row: str | float) -> None:
        """Write what saves time later; a cache that cannot be written is none the worse without it."""
        try:
            self.database.write(statement, [row])
        except MCPError:
            return

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


def _to_resolution(columns: Any) -> Resolution:
    registry, reference, m_digest, m_url, m_size, b_digest, b_url, b_size, status, version = columns
    return Resolution(
        reference=parse_reference(reference),
        registry=registry,
        manifest=Descriptor(parse_digest(m_digest), m_url, m_size),
        bundle=Descriptor(parse_digest(b_digest), b_url, b_size),
        status=status,
        version=version,
    )
