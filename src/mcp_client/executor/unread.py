"""How much of what the client sent nobody has read yet."""

from __future__ import annotations

import fcntl
import struct
import termios


def unread_bytes(descriptor: int) -> int:
    """Bytes that can be read at once; 0 when the kernel will not say (FIONREAD, ioctl_tty(2))."""
    answer = bytearray(4)
    try:
        fcntl.ioctl(descriptor, termios.FIONREAD, answer)
    except OSError:
        return 0
    return int(struct.unpack("=i", answer)[0])
