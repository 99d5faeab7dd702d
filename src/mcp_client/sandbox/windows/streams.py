"""What a server gets as its standard streams on Windows.

Pipes and files are the client's own. A console belongs to the processes attached to it, and the server is
not: a pipe stands in for it, and a thread of ours carries the bytes.
"""

import msvcrt
import os
from collections.abc import Callable
from contextlib import suppress
from ctypes import byref, c_void_p
from threading import Thread
from typing import NamedTuple

from mcp_client.sandbox.windows.creation import inheritable
from mcp_client.windows import api
from mcp_client.windows.streams import is_console

_CHUNK = 4096
_LAST_SECONDS = 1.0


class Stream(NamedTuple):
    """A handle for the server, closed once it exists, and what carries its bytes, started then."""

    handle: api.Handle
    carrier: Thread | None = None


def standard_stream(number: int) -> Stream:
    """For standard input (0) or output (1)."""
    if not is_console(number):
        return Stream(inheritable(msvcrt.get_osfhandle(number)))
    reading, writing = pipe()
    if number == 0:
        target = msvcrt.open_osfhandle(_taken(writing), os.O_WRONLY | os.O_BINARY)
        return Stream(_moved(reading), _carrier(lambda: os.read(0, _CHUNK), target))
    source = msvcrt.open_osfhandle(_taken(reading), os.O_RDONLY | os.O_BINARY)
    return Stream(_moved(writing), _carrier(lambda: os.read(source, _CHUNK), 1))


def pipe() -> tuple[api.Handle, api.Handle]:
    """The reading and the writing end; neither is inherited."""
    reading, writing = c_void_p(), c_void_p()
    api.CreatePipe(byref(reading), byref(writing), None, 0)
    return api.Handle(reading.value), api.Handle(writing.value)


def finish(streams: tuple[Stream, ...]) -> None:
    """After the server's end: let what it said last come out."""
    for stream in streams[1:]:
        if stream.carrier is not None and stream.carrier.is_alive():
            stream.carrier.join(_LAST_SECONDS)


def _carrier(read: Callable[[], bytes], target: int) -> Thread:
    def carry() -> None:
        with suppress(OSError):
            while data := read():
                os.write(target, data)
        if target > 2:  # noqa: PLR2004  not a standard stream of ours
            os.close(target)

    return Thread(target=carry, daemon=True)


def _taken(handle: api.Handle) -> int:
    """The number, which somebody else closes from now on."""
    value, handle.value = handle.value, None
    return value or 0


def _moved(handle: api.Handle) -> api.Handle:
    copy = inheritable(handle.value or 0)
    handle.close()
    return copy
