"""What is stored, how much it takes, and how it goes away."""

import errno
import fcntl
import os
import secrets
import stat
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from mcp_client.cache.staging import STAGING, make_folder, remove_tree, storage_errors
from mcp_client.cache.store import Cache, Entry
from mcp_client.digest import Digest, parse_digest
from mcp_client.errors import MCPError

_FOLDERS = {"manifest": "manifests", "bundle": "bundles", "tree": "trees"}
# A bundle is no longer needed once it is unpacked, so it goes before the tree.
_EVICTION_ORDER = ("bundle", "tree", "manifest")
_HEX = 64
# How long what nothing refers to yet may belong to a pull that is under way.
_PULL_SECONDS = 3600


def list_entries(cache: Cache) -> list[Entry]:
    """Every manifest, bundle and tree, most recently used first."""
    references: dict[str, set[str]] = defaultdict(set)
    used: dict[str, float] = {}
    for reference, manifest, bundle, at in _rows(
        cache, "select reference, manifest_digest, bundle_digest, used from resolution"
    ):
        for digest in (manifest, bundle):
            references[digest].add(reference)
            used[digest] = max(at, used.get(digest, 0.0))
    sizes = dict(_rows(cache, "select digest, size from tree"))
    found = []
    for kind, digest, path, modified in _stored(cache.folder):
        name = str(digest)
        size = sizes.get(name) if kind == "tree" else None
        found.append(
            Entry(
                kind,
                digest,
                size=_size(path) if size is None else size,
                references=tuple(sorted(references[name])),
                used=used.get(name, modified),
                path=path,
            )
        )
    return sorted(found, key=lambda entry: (-entry.used, entry.references, entry.kind))


def remove_entries(cache: Cache, digests: set[Digest]) -> list[Entry]:
    """Remove everything under ``digests``; nothing at all when one of them is in use."""
    wanted = [entry for entry in list_entries(cache) if entry.digest in digests]
    locks: list[int] = []
    try:
        with storage_errors(cache.folder):
            for entry in wanted:
                # Another process may be quicker.
                with suppress(FileNotFoundError):
                    locks.append(_lock_unused(entry))
        return _discard(cache, wanted)
    finally:
        for lock in locks:
            os.close(lock)


def evict_entries(cache: Cache, keep: set[Digest]) -> list[Entry]:
    """Bring the cache below its limits; what is in use or in ``keep`` stays, whatever its age.

    What cannot be removed stays as well: nobody asked for this, so nobody is told.
    """
    settings, now = cache.settings, time.time()
    entries = list_entries(cache)
    total = sum(entry.size for entry in entries)
    oldest_allowed = now - settings.ttl if settings.ttl is not None else 0.0
    gone: list[Entry] = []
    for entry in sorted(entries, key=lambda entry: (entry.used, _EVICTION_ORDER.index(entry.kind))):
        if entry.used >= oldest_allowed and total <= settings.max_size:
            continue
        being_pulled = not entry.references and entry.used > now - _PULL_SECONDS
        if entry.digest in keep or being_pulled:
            continue
        with suppress(MCPError, OSError):
            lock = _lock_unused(entry)
            try:
                gone += _discard(cache, [entry])
            finally:
                os.close(lock)
            total -= entry.size
    return gone


def _rows(cache: Cache, query: str) -> list[tuple[Any, ...]]:
    """Rows of the database; none on a full disk, where SQLite cannot even read and something must go."""
    try:
        return cache.database.select(query)
    except MCPError as error:
        if error.code != "disk-full":
            raise
        return []


def _stored(cache: str) -> Iterator[tuple[str, Digest, str, float]]:
    """Kind, digest, path and time of every entry; anything else in these folders is none of ours."""
    for kind, name in _FOLDERS.items():
        try:
            found = list(os.scandir(os.path.join(cache, name)))
        except OSError:
            continue
        for item in found:
            # Another process may remove it meanwhile.
            with suppress(MCPError, FileNotFoundError):
                digest = parse_digest(f"sha256:{item.name[-_HEX:]}")
                if item.name == digest.file_name and item.is_dir(follow_symlinks=False):
                    yield kind, digest, item.path, item.stat().st_mtime


def _size(folder: str) -> int:
    """Bytes of all files below ``folder``."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                status = os.lstat(os.path.join(parent, name))
                total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total


def _lock_unused(entry: Entry) -> int:
    """An exclusive lock on the entry's folder. Raises ``in-use`` while a server runs from it, and OSError."""
    descriptor = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Removed and stored anew before the lock was ours, it is another folder, and another lock.
        if not os.path.samestat(os.stat(entry.path), os.fstat(descriptor)):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), entry.path)
    except BlockingIOError as error:
        os.close(descriptor)
        raise MCPError(
            "in-use",
            f"a server is running from {entry.digest}",
            hint="stop it first",
            details={"digest": str(entry.digest)},
        ) from error
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _discard(cache: Cache, entries: Sequence[Entry]) -> list[Entry]:
    """Move locked entries out of sight, all of them, then delete them; those that were still there.

    Their locks keep others from sweeping them, so no folder is made for this: on a full disk that would fail.
    """
    if not entries:
        return []
    staging = make_folder(cache.folder, STAGING, 0o700)
    gone, moved = [], []
    with storage_errors(cache.folder):
        for entry in entries:
            target = os.path.join(staging, secrets.token_hex(8))
            with suppress(FileNotFoundError):
                # Moving a folder elsewhere writes in it.
                os.chmod(entry.path, 0o755)
                os.rename(entry.path, target)
                gone.append(entry)
                moved.append(target)
    for target in moved:
        remove_tree(target)
    trees = [(str(entry.digest),) for entry in gone if entry.kind == "tree"]
    if trees:
        # Only a note of the size; it is written again with the tree.
        with suppress(MCPError):
            cache.database.write("delete from tree where digest = ?", trees)
    return gone
