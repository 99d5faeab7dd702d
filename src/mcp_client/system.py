"""What operating systems do differently, by the names POSIX gives it; Windows has its own ways to the same.

A lock goes with its process; a file that is open can be renamed and removed; bytes are never translated.
"""

import os
import sys

if sys.platform == "win32":
    from mcp_client.windows.files import (
        LOCK_EX,
        LOCK_NB,
        LOCK_SH,
        O_CLOEXEC,
        O_NOFOLLOW,
        O_NONBLOCK,
        fchmod,
        flock,
        has_record_locks,
        link,
        lock_folder,
        open_fd,
        pread,
        rename,
        replace,
        set_modified,
        symlink,
        sync_folder,
        sync_path,
    )
    from mcp_client.windows.owners import account, close_to_others, exposure, is_own, mend_exposure
    from mcp_client.windows.streams import has_room

    # What a file may do is told by its name here, and who may write it by its list of access.
    KEEPS_MODES = False
else:
    import fcntl
    from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
    from os import O_CLOEXEC, O_NOFOLLOW, O_NONBLOCK, fchmod, pread, rename, replace, symlink
    from os import open as open_fd

    KEEPS_MODES = True

    def lock_folder(path: str, kind: int, *, required: bool = True) -> int:
        """Open the folder ``path`` and lock it as flock() would; the lock goes when the descriptor is closed.

        Raises BlockingIOError when it is not to be waited for (LOCK_NB), and OSError. Where the file system
        has no locks it is not ``required``, the folder is opened all the same.
        """
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        try:
            flock(descriptor, kind)
        except OSError as error:
            if required or error.errno not in _no_locks():
                os.close(descriptor)
                raise
        return descriptor

    def _no_locks() -> frozenset[int]:
        """What flock(2) and its imitations say on file systems without locks: NFS, SMB, 9p, FUSE."""
        import errno

        return frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EINVAL})

    def has_record_locks(path: str) -> bool:
        """Whether the file system knows the locks that SQLite takes (fcntl(2)); asked at a byte nobody uses.

        Closing the file drops every lock this process has on it, so there must be no connection.
        """
        import errno

        try:
            descriptor = os.open(path, os.O_RDONLY | O_CLOEXEC)
        except OSError:
            return True
        try:
            fcntl.lockf(descriptor, LOCK_SH | LOCK_NB, 1, 1 << 40)
        except OSError as error:
            return error.errno in {errno.EAGAIN, errno.EACCES}
        finally:
            os.close(descriptor)
        return True

    def sync_path(path: str) -> None:
        """Wait until one file, or the list of names of one folder, is on the disk."""
        descriptor = os.open(path, os.O_RDONLY | O_CLOEXEC)
        try:
            _flush(descriptor)
        finally:
            os.close(descriptor)

    def _flush(descriptor: int) -> None:
        if sys.platform == "darwin":
            # There fsync(2) leaves the data in the drive's cache; F_FULLFSYNC (fcntl(2)) does not.
            try:
                fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            except OSError:
                # A network's file system has no such thing.
                os.fsync(descriptor)
        else:
            os.fsync(descriptor)

    sync_folder = sync_path

    def is_own(descriptor: int) -> bool:
        """Whether the open file belongs to the user this process acts for."""
        return os.fstat(descriptor).st_uid == os.geteuid()

    def exposure(descriptor: int) -> int:
        """What others may do with the open file: a union of 4 (read), 2 (write) and 1 (execute)."""
        mode = os.fstat(descriptor).st_mode
        return (mode >> 3 | mode) & 0o7

    def mend_exposure(path: str) -> str:
        """The command that closes a file to others."""
        import shlex

        return f"chmod 600 {shlex.quote(path)}"

    def link(source: str, target: str) -> None:
        """A second name for a file, or for a link."""
        os.link(source, target, follow_symlinks=False)

    def set_modified(descriptor: int, _path: str, seconds: int) -> None:
        """Set when a file was last changed."""
        os.utime(descriptor, (seconds, seconds))

    def close_to_others(_path: str) -> None:
        """Nothing to do: whoever makes a file gives it its mode."""

    def account() -> tuple[str, int | str]:
        """Name and number of the user who started this process."""
        import pwd

        number = os.getuid()
        try:
            return pwd.getpwuid(number).pw_name, number
        except KeyError:
            return str(number), number

    def has_room(descriptor: int, milliseconds: int) -> bool:
        """Whether a line can be written without waiting longer for somebody to read."""
        import select

        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        return bool(poll.poll(milliseconds))


__all__ = [
    "KEEPS_MODES",
    "LOCK_EX",
    "LOCK_NB",
    "LOCK_SH",
    "O_CLOEXEC",
    "O_NOFOLLOW",
    "O_NONBLOCK",
    "account",
    "close_to_others",
    "exposure",
    "fchmod",
    "flock",
    "has_record_locks",
    "has_room",
    "is_own",
    "link",
    "lock_folder",
    "mend_exposure",
    "open_fd",
    "pread",
    "rename",
    "replace",
    "set_modified",
    "symlink",
    "sync_folder",
    "sync_path",
]
