"""Put what was written on the disk: a power cut must not leave a published entry half empty."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mcp_client.cache.staging import storage_errors

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def sync_path(path: str) -> None:
    """Wait until one file, or the list of names of one folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
            return
        # syncfs(2) reports what could not be written since Linux 5.8.
        if ctypes.CDLL(None, use_errno=True).syncfs(self._descriptor) != 0:
            number = ctypes.get_errno()
            with storage_errors(self._folder):
                raise OSError(number, os.strerror(number), self._folder)
