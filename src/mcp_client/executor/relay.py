"""Carry the server's standard error to ours, through a pipe of its own.

A server that held our standard error itself could read what a user types into that terminal, change or cut
the log file behind it, and take what other servers write to the same pipe. On a terminal, what could move
the cursor, set the clipboard or hide text is shown instead of obeyed.
"""

from __future__ import annotations

import codecs
import os
import select
import time

from mcp_client.errors import harmless

# What poll(2) promises to fit into a pipe that is writable (pipe(7), PIPE_BUF).
_CHUNK = 4096
_TARGET = 2
# Beyond this a server would make us work, outside of its own share of the processor.
_BYTES_PER_SECOND = 8 << 20
_Decoder = codecs.getincrementaldecoder("utf-8")


class Relay:
    """One direction, one chunk at a time: a client that reads slowly slows the server down, not us."""

    def __init__(self, source: int) -> None:
        """``source`` is the reading end of the server's pipe."""
        self._source: int | None = source
        self._chunk = b""
        self._second, self._moved = 0.0, 0
        self._decoder = _Decoder("backslashreplace") if os.isatty(_TARGET) else None
        self.due_at: float | None = None

    def watch(self, poll: select.poll) -> None:
        """Register what is waited for: something to read, or room to write it; nothing before ``due_at``."""
        if self._chunk:
            poll.register(_TARGET, select.POLLOUT)
        elif self._source is not None and self.due_at is None:
            poll.register(self._source, select.POLLIN)

    def move(self, poll: select.poll, ready: dict[int, int]) -> None:
        """Take one step if it is possible now, and watch for the next."""
        if self.due_at is not None and time.monotonic() >= self.due_at:
            self.due_at = None
            self.watch(poll)
        waited_for = _TARGET if self._chunk else self._source
        if waited_for is None or waited_for not in ready:
            return
        poll.unregister(waited_for)
        if waited_for == _TARGET:
            self._write()
        else:
            self._read(waited_for)
        self.watch(poll)

    def drain(self, seconds: float) -> None:
        """After the server's end: pass on what is left, for as long as somebody takes it."""
        deadline = time.monotonic() + seconds
        while (self._source is not None or self._chunk) and (left := deadline - time.monotonic()) > 0:
            self.due_at = None
            poll = select.poll()
            self.watch(poll)
            self.move(poll, dict(poll.poll(left * 1000)))

    def _read(self, source: int) -> None:
        try:
            data = os.read(source, _CHUNK)
        except BlockingIOError:
            # The server can open its own pipe to read, and took back what it wrote.
            return
        if not data:
            self._close()
        self._chunk = data if self._decoder is None else harmless(self._decoder.decode(data, not data))
        now = time.monotonic()
        if now - self._second >= 1:
            self._second, self._moved = now, 0
        self._moved += len(data)
        if self._moved >= _BYTES_PER_SECOND:
            self.due_at = self._second + 1

    def _write(self) -> None:
        try:
            self._chunk = self._chunk[os.write(_TARGET, self._chunk[:_CHUNK]) :]
        except BlockingIOError:
            # Somebody else filled it first; the next turn waits again.
            return
        except OSError:
            # Nobody reads ours any more: the server is told as it would be if it held it itself.
            self._chunk = b""
            self._close()

    def _close(self) -> None:
        if self._source is not None:
            os.close(self._source)
        self._source = None
