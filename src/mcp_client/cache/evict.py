"""Keep the cache within ``max_size`` and ``ttl``: what was used least recently goes first."""

import os
from collections.abc import Iterable, Sequence
from contextlib import contextmanager, suppress
from time import time
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from mcp_client.cache.inventory import count_entries, discard, list_entries, lock_unused
from mcp_client.cache.quarantine import sweep
from mcp_client.cache.staging import make_folder
from mcp_client.cache.store import Cache, Entry
from mcp_client.digest import Digest
from mcp_client.errors import MCPError

if TYPE_CHECKING:
    from collections.abc import Iterator

# How long what nobody has used yet may belong to a pull that is under way.
_PULL_SECONDS = 3600
# A process that was stopped in the middle of this must not stop every other one.
_TURN_SECONDS = 10
# Each of them is held open while they are moved; macOS allows 256 files.
_BATCH = 64


def evict_entries(cache: Cache, keep: set[Digest]) -> list[Entry]:
    """Bring the cache below its limits; what is in use or in ``keep`` stays, whatever its age.

    What cannot be removed stays as well: nobody asked for this, so nobody is told.
    """
    if not cache.writable or (cache.settings.ttl is None and _fits(cache)):
        return []
    with suppress(MCPError, OSError, Timeout), _turn(cache):
        sweep(cache.settings)
        return _evict(cache, keep)
    return []


def units(entries: Iterable[Entry]) -> list[list[Entry]]:
    """What goes together, least recently used first: a tree and its bundle, then the manifest.

    A bundle takes less room than its tree, and is what the tree is proven by.
    """
    found: dict[Digest, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.digest, []).append(entry)
    return sorted(found.values(), key=lambda unit: (unit[0].used, unit[0].kind == "manifest"))


def _fits(cache: Cache) -> bool:
    """Whether all that is stored is noted, and is no more than may be: most evictions end here."""
    try:
        count, size = cache.database.select("select count(*), total(size) from entry")[0]
    except (MCPError, IndexError):
        return False
    return bool(count >= count_entries(cache) and size <= cache.settings.max_size)


def _evict(cache: Cache, keep: set[Digest]) -> list[Entry]:
    settings, now = cache.settings, time()
    entries = list_entries(cache, even_if_full=True)
    with suppress(MCPError):
        _forget_missing(cache, entries)
    total = _bytes(entries)
    oldest_allowed = now - settings.ttl if settings.ttl is not None else 0.0
    gone: list[Entry] = []
    batch = _Batch(cache)
    for unit in units(entries):
        used = unit[0].used
        # What is compiled of a package comes into being long after it was pulled.
        stored = max((entry.stored for entry in unit if entry.kind != "compiled"), default=0.0)
        # Nobody has recorded a use since it was stored; older references may point to it all the same.
        being_pulled = used <= stored and stored > now - _PULL_SECONDS
        if unit[0].digest in keep or being_pulled:
            continue
        enough = used >= oldest_allowed and total - batch.size <= settings.max_size
        if len(batch.locks) >= _BATCH or (enough and batch.entries):
            removed = batch.remove()
            total -= _bytes(removed)
            gone += removed
            batch = _Batch(cache)
            # What could not be removed must be made up for.
            enough = used >= oldest_allowed and total <= settings.max_size
        if not enough:
            batch.add(unit)
    return gone + batch.remove()


class _Batch:
    """Locked units that are removed together."""

    def __init__(self, cache: Cache) -> None:
        self.entries: list[Entry] = []
        self.size = 0
        self.locks: list[int] = []
        self._cache = cache

    def add(self, unit: Sequence[Entry]) -> None:
        """Lock a unit, all of it; one that is in use, or gone meanwhile, is left out."""
        before = len(self.locks)
        try:
            for entry in unit:
                self.locks.append(lock_unused(entry))
        except (MCPError, OSError):
            for lock in self.locks[before:]:
                os.close(lock)
            del self.locks[before:]
            return
        self.entries += unit
        self.size += _bytes(unit)

    def remove(self) -> list[Entry]:
        """Remove what can be removed, one by one where one of all cannot."""
        try:
            return discard(self._cache, self.entries)
        except MCPError:
            return [gone for entry in self.entries for gone in self._remove_one(entry)]
        finally:
            for lock in self.locks:
                os.close(lock)

    def _remove_one(self, entry: Entry) -> list[Entry]:
        with suppress(MCPError):
            return discard(self._cache, [entry])
        return []


def _forget_missing(cache: Cache, entries: Iterable[Entry]) -> None:
    """Drop notes of what is gone: whoever removed it was killed before he could."""
    there = {(entry.kind, str(entry.digest)) for entry in entries}
    noted = cache.database.select("select kind, digest from entry")
    gone = [row for row in noted if row not in there]
    if gone:
        cache.database.note_all("delete from entry where kind = ? and digest = ?", gone)


def _bytes(entries: Iterable[Entry]) -> int:
    return sum(entry.size for entry in entries)


@contextmanager
def _turn(cache: Cache) -> "Iterator[None]":
    """One process at a time: many that saw the same excess would remove it many times over."""
    folder = make_folder(cache.folder, "locks", 0o700)
    with FileLock(os.path.join(folder, "eviction.lock"), timeout=_TURN_SECONDS, mode=0o600):
        yield
