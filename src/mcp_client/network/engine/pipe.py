"""Bytes of a body whose length is known, moved from socket to socket within the kernel (splice(2)).

Copied through our memory they would cost more than twice the processor's time.
"""

import contextlib
import errno
import fcntl
import os
import sys

# A shorter rest of a body is not worth the pipe, which is two descriptors and four calls.
SMALLEST = 1 << 20
# What /proc/sys/fs/pipe-max-size allows to everybody (pipe(7)).
_SIZE = 1 << 20

if sys.platform == "linux":
    from os import splice

    def _make_pipe() -> tuple[int, int]:
        read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        # Beyond a user's share of such memory (pipe-user-pages-soft) it stays as small as it is.
        with contextlib.suppress(OSError):
            fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, _SIZE)
        return read_end, write_end

else:

    def splice(_source: int, _target: int, _count: int) -> int:
        """Only Linux has it; there is no pipe to use it with."""
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    def _make_pipe() -> tuple[int, int]:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


class Pipe:
    """``left`` bytes are still to come from the source, ``held`` are on their way to the target."""

    __slots__ = ("_read_end", "_write_end", "held", "left", "total")

    def __init__(self, size: int) -> None:
        """For ``size`` bytes. Raises OSError when there are no descriptors, or it cannot be done here."""
        self._read_end, self._write_end = _make_pipe()
        self.total = self.left = size
        self.held = 0

    def fill(self, source: int) -> int | None:
        """Take from a socket: how much, 0 at its end, None when there is nothing. Raises OSError."""
        try:
            size = splice(source, self._write_end, min(self.left, _SIZE))
        except BlockingIOError:
            return None
        self.left -= size
        self.held += size
        return size

    def drain(self, target: int) -> int:
        """Give to a socket: how much went. Raises OSError."""
        try:
            size = splice(self._read_end, target, self.held)
        except BlockingIOError:
            return 0
        self.held -= size
        return size

    def close(self) -> None:
        """Forget what is held."""
        os.close(self._read_end)
        os.close(self._write_end)
