"""Work in progress in a folder that others read: locked files that come to their places by a rename."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mcp_client import system
from mcp_client.errors import MCPError, printable

_INCOMING = ".incoming"
# Whoever serves the folder is another user than the one who fills it.
_READABLE, _OPEN_TO_ALL = 0o644, 0o755
_MOST_TRIES = 1000
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Incoming:
    """The part of a folder where new files wait, shared by any number of processes and threads."""

    def __init__(self, folder: str) -> None:
        """``folder`` is made when something is staged."""
        self._folder = folder

    @contextmanager
    def staged(self, name: str) -> Iterator[tuple[str, int]]:
        """An empty file for nobody else, until it is renamed or the block is left; path and descriptor.

        Whoever has it also has the turn for ``name``: others wait, and find what came of it.
        """
        folder = os.path.join(self._folder, _INCOMING)
        path = os.path.join(folder, name)
        with storage_errors(self._folder):
            descriptor = self._locked_file(folder, name)
        try:
            yield path, descriptor
        finally:
            # Unless it was renamed. While the lock is held nobody else can have made a new one.
            with suppress(OSError):
                if os.path.samestat(os.stat(path), os.fstat(descriptor)):
                    os.unlink(path)
            os.close(descriptor)
            with suppress(OSError):
                os.rmdir(folder)

    def publish(self, staged: str, descriptor: int, path: str) -> None:
        """Move a staged file to its place, readable by all and on the disk; what was there is replaced."""
        with storage_errors(path):
            system.fchmod(descriptor, _READABLE)
            os.fsync(descriptor)
            self._make_folder(os.path.dirname(path))
            system.rename(staged, path)
            system.sync_folder(os.path.dirname(path))

    def _locked_file(self, folder: str, name: str) -> int:
        for _ in range(_MOST_TRIES):
            # Another writer may remove the folder in the same moment, since it has left it empty.
            with suppress(FileNotFoundError):
                self._make_folder(folder)
                _sweep(folder)
                return _locked_file(os.path.join(folder, name))
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder)

    def _make_folder(self, folder: str) -> None:
        """Make ``folder`` and what is missing above it, for everybody to read whatever the umask says."""
        if not os.path.isdir(folder):
            parent = os.path.dirname(folder)
            self._make_folder(parent)
            with suppress(FileExistsError):
                os.mkdir(folder, 0o700 if os.path.basename(folder) == _INCOMING else _OPEN_TO_ALL)
                system.sync_folder(parent)
        elif not folder.startswith(self._folder + os.sep):
            # The folder itself is as open as its owner has made it.
            return
        if os.path.basename(folder) != _INCOMING:
            mode = stat.S_IMODE(os.stat(folder).st_mode)
            if mode & _OPEN_TO_ALL != _OPEN_TO_ALL:
                os.chmod(folder, mode | _OPEN_TO_ALL)


def _locked_file(path: str) -> int:
    while True:
        descriptor = system.open_fd(
            path, os.O_RDWR | os.O_CREAT | system.O_CLOEXEC | system.O_NOFOLLOW, 0o600
        )
        try:
            system.flock(descriptor, system.LOCK_EX)
            with suppress(FileNotFoundError):
                # While we waited it may have been published, given up, or swept.
                if os.path.samestat(os.stat(path), os.fstat(descriptor)):
                    os.ftruncate(descriptor, 0)
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _sweep(folder: str) -> None:
    """Remove what nobody holds: the leftovers of writers that were killed."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        with suppress(OSError):
            descriptor = system.open_fd(
                path, os.O_RDWR | system.O_CLOEXEC | system.O_NOFOLLOW | system.O_NONBLOCK
            )
            try:
                system.flock(descriptor, system.LOCK_EX | system.LOCK_NB)
                if os.path.samestat(os.stat(path), os.fstat(descriptor)):
                    os.unlink(path)
            finally:
                os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write ``data`` whole: the last write before a disk is full may take only a part, without an error."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


@contextmanager
def storage_errors(path: str) -> Iterator[None]:
    """Turn what a file system refuses into ``disk-full`` or ``mirror-unwritable``."""
    try:
        yield
    except OSError as error:
        place = printable(error.filename if isinstance(error.filename, str) else path)
        if error.errno in _FULL:
            raise MCPError(
                "disk-full",
                f"no space to store {place}: {error.strerror}",
                hint="free some space and run the same command again: what is there already stays",
            ) from error
        raise MCPError(
            "mirror-unwritable",
            f"cannot write {place}: {error.strerror}",
            hint="check the folder's owner and mode, or name another one with --to",
        ) from error
