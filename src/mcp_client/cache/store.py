"""The content store: artifacts and unpacked trees by digest, with what references resolved to beside them.

A warm run does two SELECTs and a few stats here. What downloads, unpacks, proves and evicts is imported when
it is needed.
"""

from __future__ import annotations

import os
import time

from mcp_client import system
from mcp_client.cache.database import Database
from mcp_client.cache.identity import identify, is_same, named_in
from mcp_client.cache.resolutions import Resolutions
from mcp_client.errors import MCPError
from mcp_client.light import TYPE_CHECKING, NamedTuple
from mcp_client.resolution import Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any, Literal

    from mcp_client.cache.heal import Finding
    from mcp_client.config.settings import CacheSettings
    from mcp_client.digest import Digest
    from mcp_client.reference import PackageReference
    from mcp_client.resolution import Descriptor, Resolution

    ArtifactKind = Literal["manifest", "bundle"]

_FILES: Mapping[str, tuple[str, str]] = {
    "manifest": ("manifests", "manifest.json"),
    "bundle": ("bundles", "bundle.tar.gz"),
}
_NOTE = (
    "insert into entry (kind, digest, size, stored, identity) values (?, ?, ?, ?, ?) "
    "on conflict (kind, digest) do update set size = excluded.size, identity = excluded.identity"
)
_SIZE = "select size from entry where kind = 'tree' and digest = ?"


class CachedPackage(NamedTuple):
    """A package that is ready to run: its resolution, the manifest's validated form, its tree's path."""

    resolution: Resolution
    manifest_form: dict[str, Any]
    tree: str
    standing: Standing = Standing()


class Entry(NamedTuple):
    """One stored thing; ``size`` in bytes of its files, ``used`` and ``stored`` in seconds since 1970."""

    kind: str
    digest: Digest
    size: int
    references: tuple[str, ...]
    used: float
    path: str
    stored: float


class Cache:
    """Everything below ``cache.dir``, shared by any number of processes."""

    def __init__(self, settings: CacheSettings, warn: Callable[[str], object] | None = None) -> None:
        """Nothing is read or made yet. ``warn`` is told, in a line, of damage that was mended."""
        self.settings = settings
        self.folder = settings.dir
        self._warn = warn
        self.database = Database(os.path.join(settings.dir, "metadata.db"))
        self.resolutions = Resolutions(self.database)
        self.doubts: dict[Digest, str] = {}

    def close(self) -> None:
        """Let go of the database; it is opened again when it is needed."""
        self.database.close()

    def warn(self, text: str) -> None:
        """Tell the user of damage, in a line."""
        if self._warn is not None:
            self._warn(text)

    # -- reading -------------------------------------------------------------------------------------------

    def find(self, reference: PackageReference, registry_url: str) -> CachedPackage | None:
        """The package if it can run without asking anybody, else None."""
        known = self.resolutions.find(reference, registry_url)
        if known is None or known.manifest_form is None:
            return None
        digest = known.resolution.bundle.digest
        if not self.is_ready(digest):
            return None
        return CachedPackage(known.resolution, known.manifest_form, self.tree_path(digest), known.standing)

    def is_ready(self, digest: Digest) -> bool:
        """Whether the tree is here and whole; one that was touched is proven or mended first."""
        return self.is_noted(digest) or self._restore(digest)

    def is_noted(self, digest: Digest) -> bool:
        """Whether the tree is there, and nobody has touched it since it was last proven."""
        identity = self._identity(digest)
        return identity is not None and is_same(self.tree_path(digest), identity)

    @property
    def writable(self) -> bool:
        """Whether this user may change what is stored here."""
        return os.access(self.folder, os.W_OK) and self.database.writable

    def artifact_path(self, kind: ArtifactKind, digest: Digest) -> str:
        """Where the artifact is, or would be."""
        folder, name = _FILES[kind]
        return os.path.join(self.folder, folder, digest.file_name, name)

    def tree_path(self, digest: Digest) -> str:
        """Where the bundle's tree is, or would be."""
        return os.path.join(self.folder, "trees", digest.folder_name)

    def hold(self, tree: str) -> int:
        """A descriptor whose shared lock keeps ``tree`` from being removed while it is open.

        On a file system without locks it keeps nothing, and nothing is ever removed there. Raises
        ``cache-damaged`` when the tree is gone or going.
        """
        descriptor = -1
        try:
            descriptor = system.lock_folder(tree, system.LOCK_SH | system.LOCK_NB, required=False)
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

    def add_bundle(self, descriptor: Descriptor, chunks: Callable[[], Iterator[bytes]], limit: int) -> str:
        """Store a bundle and unpack it in one pass; its tree, as unpack() returns it.

        Like add() and then unpack(), and it raises what they raise; but other bytes than the digest's are
        always a ``digest-mismatch``, whatever they would unpack to.
        """
        from mcp_client.cache.publish import publish_bundle

        digest = descriptor.digest
        archive, tree = self.artifact_path("bundle", digest), self.tree_path(digest)
        if os.path.isdir(tree):
            self.add("bundle", descriptor, chunks, limit)
            return self.unpack(digest)
        size = publish_bundle(self.folder, archive, tree, descriptor, chunks, limit, self.settings)
        if size is None:
            # Another process was quicker.
            return self.unpack(digest)
        self.note_tree(digest, size)
        return tree

    def unpack(self, digest: Digest) -> str:
        """Unpack a stored bundle, once, and return its tree, read-only and readable by every user.

        A tree that is there already is what the bundle says, or is mended. Raises ``bundle-*``, and the
        bundle is removed then; ``cache-damaged`` when it is not here (any more), ``disk-full`` and
        ``cache-unwritable``.
        """
        from mcp_client.cache.publish import publish_tree

        archive, tree = self.artifact_path("bundle", digest), self.tree_path(digest)
        size = publish_tree(self.folder, archive, tree, digest, self.settings)
        if size is not None:
            self.note_tree(digest, size)
        elif not self.is_ready(digest):
            raise MCPError(
                "cache-damaged",
                f"{tree} cannot be proven: {self.doubts.get(digest, 'it was changed')}",
                hint="run the same command again",
            )
        return tree

    def note_tree(self, digest: Digest, size: int | None = None, named: Iterable[str] = ()) -> None:
        """Note what a tree is known by from now on, after it was unpacked or proven, and how large it is.

        ``size`` in bytes is measured when it is not given. ``named`` are files in it that matter most, such
        as entrypoints; those named before are kept.
        """
        from mcp_client.cache.quarantine import size_of

        tree, archive = self.tree_path(digest), self.artifact_path("bundle", digest)
        now, name = time.time(), str(digest)
        before = named_in(self._identity(digest) or "")
        identity = identify(tree, [*named, *before])
        rows = [("tree", name, size_of(tree) if size is None else size, now, identity)]
        if os.path.exists(archive):
            rows.append(("bundle", name, os.path.getsize(archive), now, ""))
        self.database.note_all(_NOTE, rows)

    def watch(self, digest: Digest, named: Iterable[str]) -> None:
        """Let the files ``named`` be looked at before each run, too."""
        identity = self._identity(digest)
        if identity and set(named) - set(named_in(identity)) and is_same(self.tree_path(digest), identity):
            rows = self.database.select(_SIZE, (str(digest),))
            self.note_tree(digest, rows[0][0] if rows else None, named)

    def noted_identity(self, digest: Digest) -> str:
        """By what the tree is known, see identify(); empty when nothing is noted."""
        return self._identity(digest) or ""

    def _identity(self, digest: Digest) -> str | None:
        rows = self.database.select(
            "select identity from entry where kind = 'tree' and digest = ?", (str(digest),)
        )
        return str(rows[0][0]) if rows else None

    def _restore(self, digest: Digest) -> bool:
        """Prove or mend a tree; see heal.restore(). Nothing is done for one that was never here."""
        if not any(
            os.path.lexists(path) for path in (self.tree_path(digest), self.artifact_path("bundle", digest))
        ):
            return False
        from mcp_client.cache.heal import restore

        return restore(self, digest, self._identity(digest) or "")

    # -- keeping house -------------------------------------------------------------------------------------

    def entries(self, *, even_if_full: bool = False) -> list[Entry]:
        """Everything stored: manifests, bundles and trees; see list_entries()."""
        from mcp_client.cache.inventory import list_entries

        return list_entries(self, even_if_full=even_if_full)

    def remove(self, digests: set[Digest], references: set[str] | None = None) -> list[Entry]:
        """Remove everything stored under these digests, and what only these references need.

        Raises ``in-use`` when a server runs from one of them, and changes nothing then.
        """
        from mcp_client.cache.inventory import remove_entries

        return remove_entries(self, digests, references or set())

    def verify(
        self, entries: Iterable[Entry], on_progress: Callable[[Entry], object] | None = None
    ) -> Iterator[Finding]:
        """Prove entries byte by byte; what is damaged goes to the quarantine. See heal.verify()."""
        from mcp_client.cache.heal import verify

        return verify(self, entries, on_progress)

    def evict(self, keep: set[Digest]) -> list[Entry]:
        """Remove what is over ``max_size`` or unused for ``ttl``, least recently used first, but ``keep``."""
        from mcp_client.cache.evict import evict_entries

        return evict_entries(self, keep)

    def quarantine_size(self) -> int:
        """Bytes of what was damaged and is kept for a while."""
        from mcp_client.cache.quarantine import quarantined

        return sum(size for _, size in quarantined(self.settings))

    def clear_quarantine(self) -> int:
        """Delete what was damaged; bytes deleted."""
        from mcp_client.cache.quarantine import sweep

        return sweep(self.settings, everything=True)
