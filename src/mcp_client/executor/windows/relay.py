"""Carry the server's standard error to ours, in a thread, since nobody can wait for a pipe and more here."""

import codecs
import os
import time
from contextlib import suppress
from threading import Thread

from mcp_client.errors import harmless

_CHUNK = 4096
_TARGET = 2
# Beyond this a server would make us work, outside of its own share of the processor.
_BYTES_PER_SECOND = 8 << 20
_Decoder = codecs.getincrementaldecoder("utf-8")


class Relay:
    """One direction, one chunk at a time: a client that reads slowly slows the server down, not us."""

    def __init__(self, source: int) -> None:
        """``source`` is the reading end of the server's pipe, ours from now on."""
        self._source = source
        self._decoder = _Decoder("backslashreplace") if os.isatty(_TARGET) else None
        self._thread = Thread(target=self._carry, daemon=True)
        self._thread.start()

    def drain(self, seconds: float) -> None:
        """After the server's end: wait at most so long for what it said last to be read."""
        self._thread.join(seconds)

    def _carry(self) -> None:
        second, moved = time.monotonic(), 0
        with suppress(OSError):
            while data := os.read(self._source, _CHUNK):
                self._write(data if self._decoder is None else harmless(self._decoder.decode(data)))
                moved += len(data)
                now = time.monotonic()
                if now - second >= 1:
                    second, moved = now, 0
                elif moved >= _BYTES_PER_SECOND:
                    time.sleep(1 - (now - second))
        os.close(self._source)

    def _write(self, data: bytes) -> None:
        # Nobody may be listening any more; the server goes on, and what it says is let go.
        with suppress(OSError):
            while data:
                data = data[os.write(_TARGET, data) :]
