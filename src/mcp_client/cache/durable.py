"""Put what was written on the disk: a power cut must not leave a published entry half empty."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from mcp_client import system
from mcp_client.cache.staging import storage_errors

_SYNC_FILE_RANGE_WRITE = 2


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
        descriptor = system.open_fd(folder, os.O_RDONLY | system.O_CLOEXEC)
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
        if sys.platform == "win32":
            # NTFS has a journal of names; the bytes follow in seconds, as without a flush elsewhere.
            return
        if sys.platform != "linux":
            with storage_errors(self._folder):
                os.sync()
                system.sync_path(self._folder)
            return
        # syncfs(2) reports what could not be written since Linux 5.8.
        if _libc().syncfs(self._descriptor) != 0:
            number = ctypes.get_errno()
            with storage_errors(self._folder):
                raise OSError(number, os.strerror(number), self._folder)


@cache
def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return library
