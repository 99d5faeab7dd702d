"""What is stored, how much it takes, and how it is removed."""

import errno
import os
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from mcp_client import system
from mcp_client.cache.compiled import COMPILED
from mcp_client.cache.quarantine import size_of
from mcp_client.cache.staging import STAGING, make_folder, remove_tree, storage_errors
from mcp_client.cache.store import Cache, Entry
from mcp_client.digest import Digest, parse_digest
from mcp_client.errors import MCPError

_FOLDERS = {"manifest": "manifests", "bundle": "bundles", "tree": "trees", "compiled": COMPILED}
_HEX = 64
_NOTE_SIZE = (
    "insert into entry (kind, digest, size, stored) values (?, ?, ?, ?) "
    "on conflict (kind, digest) do update set size = excluded.size"
)
_REFERENCES = (
    "select used, reference, manifest_digest, bundle_digest from resolution where used > 0 order by used"
)


def list_entries(cache: Cache, *, even_if_full: bool = False) -> list[Entry]:
    """Every manifest, bundle, tree and what was compiled of one, most recently used first.

    On a full disk SQLite cannot even read: that is ``disk-full``, or with ``even_if_full`` a list without
    references. Sizes are those noted when each was stored; what has none is measured, and noted.
    """
    references: dict[str, tuple[str, ...]] = {}
    used: dict[str, float] = {}
    for at, reference, *digests in _rows(cache, _REFERENCES, even_if_full):
        for digest in digests:
            before = references.get(digest)
            references[digest] = (reference,) if before is None else tuple(sorted({*before, reference}))
            used[digest] = at
    noted: dict[str, dict[str, tuple[int, float]]] = {kind: {} for kind in _FOLDERS}
    for kind, digest, size, stored in _rows(
        cache, "select kind, digest, size, stored from entry", even_if_full
    ):
        noted[kind][digest] = size, stored
    found: list[Entry] = []
    measured: list[tuple[str, str, int, float]] = []
    for kind, known in noted.items():
        folder = os.path.join(cache.folder, _FOLDERS[kind])
        for item in _items(folder):
            name, path = f"sha256:{item[-_HEX:]}", f"{folder}/{item}"
            about = known.get(name)
            if about is None or len(item) != len(name):
                if not _is_ours(item, name, path):
                    continue
                about = _measure(kind, path)
                measured.append((kind, name, *about))
            at = used.get(name, about[1])
            size, stored = about
            digest, named = Digest(name[-_HEX:]), references.get(name, ())
            found.append(Entry(kind, digest, size, named, at, path, stored))
    if measured and cache.writable:
        cache.database.note_all(_NOTE_SIZE, measured)
    found.sort(key=lambda entry: (-entry.used, entry.references, entry.kind))
    return found


def count_entries(cache: Cache) -> int:
    """How many there may be."""
    return sum(len(_items(os.path.join(cache.folder, name))) for name in _FOLDERS.values())


def remove_entries(cache: Cache, digests: set[Digest], references: set[str]) -> list[Entry]:
    """Remove everything under ``digests``, and what only ``references`` need; nothing when one is in use.

    What they resolved to stays known, but none of ``references`` is ready to run any more.
    """
    wanted = [
        entry
        for entry in list_entries(cache, even_if_full=not references)
        if entry.digest in digests or (entry.references and references >= set(entry.references))
    ]
    locks: list[int] = []
    try:
        with storage_errors(cache.folder):
            for entry in wanted:
                # Another process may be quicker.
                with suppress(FileNotFoundError):
                    locks.append(lock_unused(entry))
        removed = discard(cache, wanted)
    finally:
        for lock in locks:
            os.close(lock)
    if references:
        # A form is what makes a resolution one that can run, and a use one that is listed.
        rows = [(name,) for name in sorted(references)]
        cache.database.write("update resolution set form = '', used = 0 where reference = ?", rows)
    return removed


def _rows(cache: Cache, query: str, even_if_full: bool) -> list[tuple[Any, ...]]:
    try:
        return cache.database.select(query)
    except MCPError as error:
        if error.code != "disk-full" or not even_if_full:
            raise
        return []


def _items(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _is_ours(item: str, name: str, path: str) -> bool:
    """Whether this is a folder of the store; what else is there is left alone."""
    try:
        digest = parse_digest(name)
    except MCPError:
        return False
    return item in {digest.file_name, digest.folder_name} and os.path.isdir(path) and not os.path.islink(path)


def _measure(kind: str, path: str) -> tuple[int, float]:
    """Bytes, and when it was stored."""
    try:
        if kind == "compiled":
            from mcp_client.cache.compiled_publish import own_size

            return own_size(path), os.stat(path).st_mtime
        return size_of(path), os.stat(path).st_mtime
    except OSError:
        return 0, time.time()


def lock_unused(entry: Entry) -> int:
    """An exclusive lock on the entry's folder. Raises ``in-use`` while a server runs from it, and OSError."""
    descriptor = -1
    try:
        descriptor = system.lock_folder(entry.path, system.LOCK_EX | system.LOCK_NB)
        # Removed and stored anew before the lock was ours, it is another folder, and another lock.
        if not os.path.samestat(os.stat(entry.path), os.fstat(descriptor)):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), entry.path)
    except BlockingIOError as error:
        raise MCPError(
            "in-use",
            f"a server is running from {entry.digest}",
            hint="stop it first",
            details={"digest": str(entry.digest)},
        ) from error
    except OSError:
        if descriptor >= 0:
            os.close(descriptor)
        raise
    return descriptor


def discard(cache: Cache, entries: Sequence[Entry]) -> list[Entry]:
    """Move locked entries out of sight, all of them, then delete them; those that were still there.

    Their locks keep others from sweeping them, so no folder is made for this: on a full disk that would fail.
    """
    if not entries:
        return []
    staging = make_folder(cache.folder, STAGING, 0o700)
    gone, moved = [], []
    # Trees first: a bundle without its tree is unpacked again, a tree without its bundle cannot be proven.
    entries = sorted(entries, key=lambda entry: entry.kind, reverse=True)
    try:
        with storage_errors(cache.folder):
            for entry in entries:
                target = os.path.join(staging, secrets.token_hex(8))
                with suppress(FileNotFoundError):
                    # Moving a folder elsewhere writes in it.
                    os.chmod(entry.path, 0o755)
                    os.rename(entry.path, target)
                    gone.append(entry)
                    moved.append(target)
    finally:
        for target in moved:
            remove_tree(target)
    if gone:
        # Only a note of size and identity; it is written again with the entry.
        with suppress(MCPError):
            rows = [(entry.kind, str(entry.digest)) for entry in gone]
            cache.database.write("delete from entry where kind = ? and digest = ?", rows)
            compiled = [(digest,) for kind, digest in rows if kind == "compiled"]
            cache.database.write("delete from compiled where digest = ?", compiled)
    return gone
