"""Standard streams on Windows: pipes that can be looked into, consoles, files."""

import msvcrt
import os
import stat
from ctypes import byref
from functools import cache

from mcp_client.windows import api
from mcp_client.windows import structures as s


def has_room(_descriptor: int, _milliseconds: int) -> bool:
    """Always: a pipe's room cannot be asked for by the end that writes."""
    return True


# Asked once, before a server has the same pipe: while somebody else waits in ReadFile() on it, the kernel
# lets nobody else ask anything of that file object.
@cache
def is_pipe(descriptor: int) -> bool:
    """Whether it is a pipe (or a socket), which has another end that can close."""
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except OSError:
        return False


@cache
def is_console(descriptor: int) -> bool:
    """Whether somebody sits there."""
    try:
        return bool(api.GetConsoleMode(msvcrt.get_osfhandle(descriptor), byref(s.DWORD())))
    except OSError:
        return False


def unread_bytes(descriptor: int) -> int | None:
    """Bytes in a pipe that nobody read yet; None when its other end is closed and all was read.

    Waits for as long as another process waits in ReadFile() on the same pipe.
    """
    available = s.DWORD()
    try:
        api.PeekNamedPipe(msvcrt.get_osfhandle(descriptor), None, 0, None, byref(available), None)
    except OSError as error:
        if error.winerror in {s.ERROR_BROKEN_PIPE, s.ERROR_NO_DATA}:
            return None
        return 0
    return int(available.value)
