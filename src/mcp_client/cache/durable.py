"""Put what was written on the disk: a power cut must not leave a published entry half empty."""

import ctypes
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from mcp_client.cache.staging import storage_errors

_SYNC_FILE_RANGE_WRITE = 2
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def sync_path(path: str) -> None:
    """Wait until one file, or the list of names of one folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _flush(descriptor)
    finally:
        os.close(descriptor)


def write_early(descriptor: int) -> None:
    """Let the disk begin to write what an open file holds, so that less is left to wait for at the end."""
    if sys.platform == "linux":
        # sync_file_range(2); what goes wrong is told by the flush.
        _libc().sync_file_range(descriptor, 0, 0, _SYNC_FILE_RANGE_WRITE)


def write_and_forget(descriptor: int, size: int) -> None:
    """Like write_early() for the first ``size`` bytes, and free their memory: nobody will read them soon."""
    if sys.platform == "linux":
        # Linux begins to write what is dirty, and drops what has been written.
        os.posix_fadvise(descriptor, 0, size, os.POSIX_FADV_DONTNEED)


@contextmanager
def watched_disk(folder: str) -> Iterator["Disk"]:
    """The disk below ``folder``, whose failed writes are noticed from now on."""
    with storage_errors(folder):
        descriptor = os.open(folder, _FOLDER)
    try:
        yield Disk(folder, descriptor)
    finally:
        os.close(descriptor)


class Disk:
    """A file system, by an open folder of it."""

    def __init__(self, folder: str, descriptor: int) -> None:
        """``descriptor`` stays the caller's."""
        self._folder = folder
        self._descriptor = descriptor

    def sync(self) -> None:
        """Wait until everything is on the disk: one flush for thousands of files.

        Raises ``disk-full`` and ``cache-unwritable``: some disks say only now that they have no room.
        """
        if sys.platform != "linux":
            os.sync()
            _flush(self._descriptor)
            return
        # syncfs(2) reports what could not be written since Linux 5.8.
        if _libc().syncfs(self._descriptor) != 0:
            number = ctypes.get_errno()
            with storage_errors(self._folder):
                raise OSError(number, os.strerror(number), self._folder)


def _flush(descriptor: int) -> None:
    """fsync(2) of macOS leaves the data in the drive's cache; F_FULLFSYNC (fcntl(2)) does not."""
    if sys.platform == "darwin":
        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        except OSError:
            # A network's file system has no such thing.
            os.fsync(descriptor)
    else:
        os.fsync(descriptor)


@cache
def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return library
