"""Files on Windows as POSIX knows them: renamed and removed while they are open, locked as a whole.

CreateFileW() with all kinds of sharing is what open(2) is; the runtime library's own open() keeps others from
renaming a file (FILE_SHARE_DELETE), and translates line ends.
"""

import errno
import msvcrt
import os
import time
from ctypes import byref

from mcp_client.windows import api
from mcp_client.windows import structures as s

LOCK_SH, LOCK_EX, LOCK_NB = 1, 2, 4
# No process inherits a handle that is not named, and nothing is translated.
O_CLOEXEC = os.O_NOINHERIT | os.O_BINARY
# Read by open_fd() only.
O_NOFOLLOW = 1 << 29
# A handle never waits to be opened.
O_NONBLOCK = 0

_ALL = s.FILE_SHARE_READ | s.FILE_SHARE_WRITE | s.FILE_SHARE_DELETE
_ACCESS = {
    os.O_RDONLY: s.GENERIC_READ,
    os.O_WRONLY: s.GENERIC_WRITE,
    os.O_RDWR: s.GENERIC_READ | s.GENERIC_WRITE,
}
# Beyond the end of every file: such a lock is in nobody's way who reads or writes.
_LOCKED_BYTE = 0x7FFFFFFF
_BUSY = frozenset({s.ERROR_SHARING_VIOLATION, s.ERROR_LOCK_VIOLATION})
# A reader has a file open for a moment, and a virus scanner for a little longer.
_PATIENCE_SECONDS = 5.0
_POLL_SECONDS = 0.01


def open_fd(path: str, flags: int, mode: int = 0o777) -> int:  # noqa: ARG001  who may use it is inherited
    """As os.open(), in binary, not inherited, and in nobody's way."""
    access = _ACCESS[flags & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR)]
    attributes = s.FILE_ATTRIBUTE_NORMAL | s.FILE_FLAG_BACKUP_SEMANTICS
    if flags & O_NOFOLLOW:
        attributes |= s.FILE_FLAG_OPEN_REPARSE_POINT
    try:
        handle = api.CreateFileW(path, access, _ALL, None, _disposition(flags), attributes, None)
    except OSError as error:
        raise _named(error, path) from None
    try:
        descriptor = msvcrt.open_osfhandle(handle, os.O_BINARY | os.O_NOINHERIT | (flags & os.O_APPEND))
    except OSError:
        api.CloseHandle(handle)
        raise
    if flags & O_NOFOLLOW and os.fstat(descriptor).st_file_attributes & s.FILE_ATTRIBUTE_REPARSE_POINT:
        os.close(descriptor)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    return descriptor


def _disposition(flags: int) -> int:
    if flags & os.O_CREAT:
        if flags & os.O_EXCL:
            return s.CREATE_NEW
        return s.CREATE_ALWAYS if flags & os.O_TRUNC else s.OPEN_ALWAYS
    return s.TRUNCATE_EXISTING if flags & os.O_TRUNC else s.OPEN_EXISTING


def fchmod(_descriptor: int, _mode: int) -> None:
    """Nothing: lists of access are inherited from the folder, and a read-only mark would be in our way."""


def flock(descriptor: int, kind: int) -> None:
    """Lock an open file against others who do the same. Raises BlockingIOError with LOCK_NB, and OSError."""
    flags = s.LOCKFILE_EXCLUSIVE_LOCK if kind & LOCK_EX else 0
    flags |= s.LOCKFILE_FAIL_IMMEDIATELY if kind & LOCK_NB else 0
    place = s.OVERLAPPED(Offset=0, OffsetHigh=_LOCKED_BYTE)
    try:
        api.LockFileEx(msvcrt.get_osfhandle(descriptor), flags, 0, 1, 0, byref(place))
    except OSError as error:
        if error.winerror in {*_BUSY, s.ERROR_IO_PENDING}:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
        raise


def lock_folder(path: str, kind: int, *, required: bool = True) -> int:  # noqa: ARG001  there always are locks
    """Open the folder ``path`` and lock it; the lock goes when the descriptor is closed.

    A folder cannot be locked by LockFileEx(), but sharing does the same: whoever opens it shared lets nobody
    rename or remove it, and whoever opens it alone lets nobody open it but to rename or remove it. Raises
    BlockingIOError when it is not to be waited for (LOCK_NB), and OSError.
    """
    if kind & LOCK_EX:
        access = s.GENERIC_READ | s.GENERIC_WRITE | s.DELETE
        sharing = s.FILE_SHARE_READ | s.FILE_SHARE_DELETE
    else:
        access = s.GENERIC_READ
        sharing = s.FILE_SHARE_READ | s.FILE_SHARE_WRITE
    attributes = s.FILE_FLAG_BACKUP_SEMANTICS | s.FILE_FLAG_OPEN_REPARSE_POINT
    while True:
        try:
            handle = api.CreateFileW(path, access, sharing, None, s.OPEN_EXISTING, attributes, None)
            break
        except OSError as error:
            if error.winerror not in _BUSY:
                raise _named(error, path) from None
            if kind & LOCK_NB:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), path) from None
            time.sleep(_POLL_SECONDS)
    descriptor = msvcrt.open_osfhandle(handle, os.O_BINARY | os.O_NOINHERIT)
    if not os.path.isdir(path) or os.path.islink(path):
        os.close(descriptor)
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    return descriptor


def has_record_locks(_path: str) -> bool:
    """Every file system of Windows has them."""
    return True


def set_modified(_descriptor: int, path: str, seconds: int) -> None:
    """Set when a file was last changed; a descriptor is not enough here."""
    os.utime(path, (seconds, seconds))


def link(source: str, target: str) -> None:
    """A second name for a file."""
    os.link(source, target)


def symlink(_to: str, target: str) -> None:
    """Only administrators and developers may, and links to folders and to files are of two kinds."""
    raise OSError(errno.EPERM, "Windows lets no program make the link that the bundle has", target)


def pread(descriptor: int, size: int, offset: int) -> bytes:
    """Bytes at ``offset``; the place to read from is where it was."""
    before = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, size)
    finally:
        os.lseek(descriptor, before, os.SEEK_SET)


def replace(source: str, target: str) -> None:
    """As os.replace(), waiting a while for whoever has the target open without sharing it."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            os.replace(source, target)
        except PermissionError:
            if time.monotonic() > deadline or os.path.isdir(target):
                raise
            time.sleep(_POLL_SECONDS)
        else:
            return


def rename(source: str, target: str) -> None:
    """As os.rename() of POSIX: a file replaces a file."""
    if os.path.isfile(source):
        replace(source, target)
    else:
        os.rename(source, target)


def sync_path(path: str) -> None:
    """Wait until a file is on the disk. The names of a folder are in the file system's journal."""
    if os.path.isdir(path):
        return
    descriptor = open_fd(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(_path: str) -> None:
    """Nothing to wait for: NTFS keeps names by a journal of its own."""


def _named(error: OSError, path: str) -> OSError:
    return OSError(error.errno, error.strerror, path, error.winerror)
