"""What is stored, how much it takes, and how it goes away."""

import fcntl
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mcp_client.cache.staging import staging_folder, storage_errors
from mcp_client.digest import Digest
from mcp_client.errors import MCPError

if TYPE_CHECKING:
    from mcp_client.cache.store import Cache, Entry

_FOLDERS = (("manifest", "manifests"), ("bundle", "bundles"), ("tree", "trees"))
_HEX = 64


def list_entries(cache: "Cache") -> "list[Entry]":
    """Every manifest, bundle and tree, most recently used first."""
    from mcp_client.cache.store import Entry

    references: dict[str, list[str]] = defaultdict(list)
    used: dict[str, float] = {}
    rows = cache.database.select("select reference, manifest_digest, bundle_digest, used from resolution")
    for reference, manifest, bundle, at in rows:
        for digest in (manifest, bundle):
            references[digest].append(reference)
            used[digest] = max(at, used.get(digest, 0.0))
    sizes = dict(cache.database.select("select digest, size from tree"))
    found = []
    for kind, digest, path in _stored(cache):
        name = str(digest)
        size = sizes.get(name, 0) if kind == "tree" else _file_size(path)
        at = used.get(name) or os.stat(path).st_mtime
        found.append(Entry(kind, digest, size, tuple(sorted(set(references[name]))), at, path))
    return sorted(found, key=lambda entry: (-entry.used, entry.references, entry.kind))


def remove_entries(cache: "Cache", digests: set[Digest]) -> "list[Entry]":
    """Remove everything under ``digests``; nothing at all when one of them is in use."""
    wanted = [entry for entry in list_entries(cache) if entry.digest in digests]
    locks = []
    try:
        for entry in wanted:
            lock = _lock_if_unused(entry)
            if lock is None:
                raise MCPError(
                    "in-use",
                    f"a server is running from {entry.digest}",
                    hint="stop it first",
                    details={"digest": str(entry.digest)},
                )
            locks.append(lock)
        _discard(cache, wanted)
    finally:
        for lock in locks:
            os.close(lock)
    return wanted


def evict_entries(cache: "Cache", keep: set[Digest]) -> "list[Entry]":
    """Bring the cache below its limits; what is in use or in ``keep`` stays, whatever its age."""
    settings = cache.settings
    entries = list_entries(cache)
    total = sum(entry.size for entry in entries)
    oldest_allowed = time.time() - settings.ttl if settings.ttl is not None else 0.0
    gone = []
    for entry in reversed(entries):
        expired = entry.used < oldest_allowed
        if entry.digest in keep or not (expired or total > settings.max_size):
            continue
        lock = _lock_if_unused(entry)
        if lock is None:
            continue
        try:
            _discard(cache, [entry])
        finally:
            os.close(lock)
        total -= entry.size
        gone.append(entry)
    return gone


def _stored(cache: "Cache") -> Iterator[tuple[str, Digest, str]]:
    for kind, name in _FOLDERS:
        folder = os.path.join(cache.folder, name)
        try:
            entries = os.listdir(folder)
        except FileNotFoundError:
            continue
        for entry in entries:
            if len(entry) > _HEX:
                yield kind, Digest(entry[-_HEX:]), os.path.join(folder, entry)


def _file_size(folder: str) -> int:
    try:
        return sum(item.stat().st_size for item in os.scandir(folder))
    except FileNotFoundError:
        return 0


def _lock_if_unused(entry: "Entry") -> int | None:
    """An exclusive lock on the entry's folder, or None while a server runs from it."""
    descriptor = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _discard(cache: "Cache", entries: "list[Entry]") -> None:
    """Move entries out of sight at once, then delete them."""
    if not entries:
        return
    with staging_folder(cache.folder) as staging, storage_errors(cache.folder):
        for entry in entries:
            os.chmod(entry.path, 0o755)
            os.rename(entry.path, os.path.join(staging, f"{entry.kind}-{entry.digest.hex}"))
    trees = [(str(entry.digest),) for entry in entries if entry.kind == "tree"]
    with cache.database.writing() as connection:
        connection.executemany("delete from tree where digest = ?", trees)
