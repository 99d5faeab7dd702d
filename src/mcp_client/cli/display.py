"""Where downloads are shown: a block of lines on a terminal, plain lines in a log.

The cursor is never hidden and always stands below the block: after a sudden end nothing has to be put right.
"""

import os
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from math import ceil
from typing import Protocol, TextIO, cast

from mcp_client.config.units import format_size

_SECONDS_BETWEEN = 0.1
# A rate is that of the last seconds: what a network does now, and not what it did at first.
_WINDOW = 3.0
_LARGE = 1_000_000
_DEFAULT_SIZE = (80, 24)
_ELLIPSIS, _GAP = "...", "  "
_SHORTEST_NAME = 16
_UP, _ERASE_BELOW, _ERASE_LINE = "\x1b[{}A", "\r\x1b[J", "\x1b[K"


class Transfer:
    """One artifact on its way, or a question that is being answered. Its own thread counts, others look."""

    def __init__(self, subject: str, work: str, total: int | None) -> None:
        """``total`` in bytes, when the registry tells it."""
        self.subject = subject
        self.work = work
        self.total = total
        self.done = 0
        self.began = time.monotonic()
        self._seen: deque[tuple[float, int]] = deque([(self.began, 0)])

    def state(self, now: float) -> list[str]:
        """Percent, bytes, rate and time left, as far as they are known. Called by one thread only."""
        done, total = self.done, self.total
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] <= now - _WINDOW:  # noqa: PLR2004  first and last
            self._seen.popleft()
        then, before = self._seen[0]
        rate = (done - before) / (now - then) if now - then >= _SECONDS_BETWEEN else 0.0
        if self.work == "resolving":
            return []
        parts = [format_size(done)] if total is None else [f"{format_size(done)} of {format_size(total)}"]
        if total:
            parts.insert(0, f"{min(100, 100 * done // total):3d}%")
        if rate >= 1:
            parts.append(f"{format_size(int(rate))}/s")
            if total is not None and total > done:
                parts.append(f"{_clock((total - done) / rate)} left")
        return parts

    def summary(self, now: float) -> str:
        """What was done, for a log."""
        seconds = max(now - self.began, 1e-3)
        return f"{format_size(self.done)} in {seconds:.1f} s ({format_size(int(self.done / seconds))}/s)"


class Display(Protocol):
    """Where transfers are shown. All of it may be called by any thread."""

    def begin(self, transfer: Transfer) -> None:
        """Show a transfer from now on."""

    def end(self, transfer: Transfer, *, whole: bool) -> None:
        """Show it no more; ``whole`` when all of it has come."""

    def close(self) -> None:
        """Show nothing more."""


class Lines:
    """For logs: a line when a large bundle begins and one when any is there; a manifest is not worth one."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def begin(self, transfer: Transfer) -> None:
        """Tell of what may take a while."""
        if transfer.work == "bundle" and transfer.total is not None and transfer.total >= _LARGE:
            self._write(f"{transfer.subject}: {transfer.work}, {format_size(transfer.total)}")

    def end(self, transfer: Transfer, *, whole: bool) -> None:
        """Tell what was done; what has failed is told by an error."""
        if whole and transfer.work == "bundle":
            self._write(f"{transfer.subject}: {transfer.work}, {transfer.summary(time.monotonic())}")

    def close(self) -> None:
        """Nothing is left to put right."""

    def _write(self, text: str) -> None:
        # A log that nobody takes is no reason to fail. One call, so that lines of threads do not mix.
        with suppress(OSError, ValueError):
            self._stream.write(f"mcp: {text}\n")
            self._stream.flush()


class Block:
    """One line for each transfer at the end of a terminal, drawn again at most ten times a second.

    While lines are there ``sys.stderr`` is a stream that writes above them, so that no warning is drawn
    over. The thread that draws lives as long as a transfer: a process with threads must not fork.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.RLock()
        self._transfers: list[Transfer] = []
        self._drawn = 0
        self._open_line = False
        self._thread: threading.Thread | None = None
        self._idle = threading.Event()

    def begin(self, transfer: Transfer) -> None:
        """Show a transfer from now on."""
        with self._lock:
            self._transfers.append(transfer)
            if self._thread is None:
                self._idle = threading.Event()
                self._thread = threading.Thread(target=self._keep_drawing, args=(self._idle,), daemon=True)
                self._thread.start()
                sys.stderr = cast("TextIO", _Above(self._stream, self))

    def end(self, transfer: Transfer, *, whole: bool) -> None:
        """Take its line away."""
        del whole
        with self._lock:
            if transfer in self._transfers:
                self._transfers.remove(transfer)
            over = not self._transfers
        if over:
            self._rest()

    def close(self) -> None:
        """Take all lines away, whoever may still be at work."""
        with self._lock:
            self._transfers.clear()
        self._rest()

    def write_above(self, text: str) -> None:
        """Write ``text`` where the block is, and the block below it."""
        with self._lock:
            self._put(self._erasing() + text)
            self._drawn = 0
            # Some write a line in pieces.
            self._open_line = not text.endswith("\n")
            self._draw()

    def _rest(self) -> None:
        """Erase the block and end the thread, unless another transfer has begun meanwhile."""
        with self._lock:
            thread = self._thread
            if self._transfers or thread is None:
                return
            self._thread = None
            self._idle.set()
            if isinstance(sys.stderr, _Above):
                sys.stderr = self._stream
            self._put(self._erasing())
            self._drawn = 0
        thread.join()

    def _keep_drawing(self, idle: threading.Event) -> None:
        while not idle.wait(_SECONDS_BETWEEN):
            with self._lock:
                if not idle.is_set():
                    self._draw()

    def _draw(self) -> None:
        if self._open_line or not self._transfers:
            return
        columns, rows = self._size()
        now = time.monotonic()
        lines = [_line(transfer, transfer.state(now), columns) for transfer in self._transfers]
        # What has scrolled off the top cannot be reached again.
        room = max(1, rows - 1)
        if len(lines) > room:
            more = f"{_ELLIPSIS} and {len(lines) - room + 1} more"[: columns - 1]
            lines = [*lines[: room - 1], more]
        text = "".join(f"{line}{_ERASE_LINE}\n" for line in lines)
        self._put((_UP.format(self._drawn) + "\r" if self._drawn else "") + text + _ERASE_BELOW)
        self._drawn = len(lines)

    def _erasing(self) -> str:
        return _UP.format(self._drawn) + _ERASE_BELOW if self._drawn else ""

    def _put(self, text: str) -> None:
        if text:
            with suppress(OSError, ValueError):
                self._stream.write(text)
                self._stream.flush()

    def _size(self) -> tuple[int, int]:
        try:
            size = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            return _DEFAULT_SIZE
        return size.columns or _DEFAULT_SIZE[0], size.lines or _DEFAULT_SIZE[1]


class _Above:
    """Standard error while a block is shown: everything like the stream's own, but what is written."""

    def __init__(self, stream: TextIO, block: Block) -> None:
        self._stream = stream
        self._block = block

    def write(self, text: str) -> int:
        self._block.write_above(text)
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def _line(transfer: Transfer, state: list[str], columns: int) -> str:
    """One line that is never as wide as the terminal: the last column would wrap it.

    Where it is narrow, what comes last is left out first, and then the middle of the reference.
    """
    room = max(1, columns - 1)
    name = min(len(transfer.subject), _SHORTEST_NAME)
    parts = [f"{transfer.work:<8}", *state]
    while len(parts) > 1 and name + sum(len(part) + len(_GAP) for part in parts) > room:
        parts.pop()
    tail = (_GAP + _GAP.join(parts)).rstrip()
    if name + len(tail) > room:
        tail = ""
    return _shortened(transfer.subject, room - len(tail)) + tail


def _shortened(text: str, room: int) -> str:
    """``text`` with its middle cut out: the beginning tells the package, the end its version."""
    if len(text) <= room:
        return text
    if room <= len(_ELLIPSIS):
        return text[:room]
    head = (room - len(_ELLIPSIS) + 1) // 2
    return text[:head] + _ELLIPSIS + text[len(text) - (room - len(_ELLIPSIS) - head) :]


def _clock(seconds: float) -> str:
    """``0:07``, ``12:03`` or ``3:00:00``."""
    minutes, rest = divmod(ceil(min(seconds, 359_999)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
