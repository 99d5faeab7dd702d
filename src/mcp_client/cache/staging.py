"""Work in progress: private folders that become entries by one rename, or are swept.

A staging folder is locked by whoever writes in it. The kernel lets go of the lock when that process dies, so
a folder nobody holds is a leftover of a killed one, and the next writer removes it.
"""

import errno
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event

from filelock import FileLock, Timeout

from mcp_client import system
from mcp_client.cache.interrupt import ended_tidily
from mcp_client.errors import MCPError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# What flock(2) and its imitations say on file systems without locks: NFS, SMB, 9p, FUSE.
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF})
_CLOSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})

STAGING = "staging"
_begun: set[str] = set()
_abandoned = Event()


def make_folder(cache: str, name: str = "", mode: int = 0o755) -> str:
    """The folder ``name`` of the cache, or the cache itself, made if need be.

    Packages may be private, so a cache made here is its user's alone; one that was made for several users
    stays as open as it is. Raises ``disk-full`` and ``cache-unwritable``.
    """
    folder = os.path.join(cache, name) if name else cache
    with storage_errors(folder):
        os.makedirs(cache, mode=0o700, exist_ok=True)
        if name:
            os.makedirs(folder, mode=mode, exist_ok=True)
    return folder


@contextmanager
def locked(cache: str, name: str, wait: float = -1) -> Iterator[None]:
    """Hold the lock ``name`` of the cache, waiting for other processes as long as it takes.

    With ``wait`` in seconds, 0 or more, filelock.Timeout is raised after that.
    """
    folder = make_folder(cache, "locks", 0o700)
    late: Timeout | None = None
    with storage_errors(folder):
        lock = FileLock(os.path.join(folder, f"{name}.lock"), mode=0o600)
        try:
            lock.acquire(wait)
        except Timeout as error:
            late = error
        except NotImplementedError as error:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK), folder) from error
    if late is not None:
        raise late
    try:
        yield
    finally:
        lock.release()


@contextmanager
def staging_folder(cache: str) -> Iterator[str]:
    """A private folder on the cache's file system; whatever is left in it is removed at the end."""
    parent = make_folder(cache, STAGING, 0o700)
    with ended_tidily():
        if _abandoned.is_set():
            sys.exit()
        with storage_errors(parent):
            _sweep(parent)
            path, lock = _new_folder(parent)
        _begun.add(path)
        try:
            yield path
        finally:
            remove_tree(path)
            os.close(lock)
            _begun.discard(path)


def abandon_staged() -> None:
    """Remove what all threads of this process have staged, and let none stage anything more.

    For the thread that ends the process while others are in the middle of something.
    """
    _abandoned.set()
    for path in list(_begun):
        # Elsewhere nobody can put another file into it.
        elsewhere = os.path.join(os.path.dirname(path), secrets.token_hex(8))
        with suppress(OSError):
            os.rename(path, elsewhere)
            remove_tree(elsewhere)


@contextmanager
def storage_errors(path: str) -> Iterator[None]:
    """Turn what a file system refuses into ``disk-full`` or ``cache-unwritable``."""
    try:
        yield
    except OSError as error:
        place = error.filename if isinstance(error.filename, str) else path
        if error.errno in _FULL:
            raise MCPError(
                "disk-full",
                f"no space to store {place}: {error.strerror}",
                hint="free some space, run 'mcp cache rm --all', or name another folder as cache.dir",
            ) from error
        if error.errno in NO_LOCKS:
            raise MCPError(
                "cache-unwritable",
                f"the file system of {place} has no locks that work (flock: {error.strerror})",
                hint="set MCP_CACHE_DIR to a folder on a local disk; a cache without locks can only be read",
            ) from error
        hint = "check the folder's owner and mode, or name another one as cache.dir (MCP_CACHE_DIR)"
        if error.errno in _CLOSED:
            raise MCPError(
                "cache-unwritable", f"cannot write {place}: {error.strerror}", hint=hint
            ) from error
        raise MCPError("cache-unwritable", f"cannot store {place}: {error.strerror}", hint=hint) from error


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write ``data`` whole: the last write before a disk is full may take only a part, without an error."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def remove_tree(path: str) -> None:
    """Remove a folder, read-only ones included; what another process removes meanwhile is not missed."""
    for folder, _, _ in os.walk(path):
        try:
            os.chmod(folder, 0o700)
        except OSError:
            continue
    shutil.rmtree(path, ignore_errors=True)


def _new_folder(parent: str) -> tuple[str, int]:
    while True:
        path = os.path.join(parent, secrets.token_hex(8))
        os.mkdir(path, 0o700)
        try:
            lock = _locked_folder(path)
        except FileNotFoundError:
            continue
        except OSError:
            os.rmdir(path)
            raise
        if os.path.isdir(path):
            return path, lock
        # A sweeper took the new folder for a leftover in the moment before it was locked.
        os.close(lock)


def _locked_folder(path: str) -> int:
    # Where nobody can lock folders nobody sweeps either.
    return system.lock_folder(path, system.LOCK_EX, required=False)


def _sweep(parent: str) -> None:
    for name in os.listdir(parent):
        path = os.path.join(parent, name)
        try:
            lock = system.lock_folder(path, system.LOCK_EX | system.LOCK_NB)
        except OSError:
            # Somebody works in it.
            continue
        remove_tree(path)
        os.close(lock)
