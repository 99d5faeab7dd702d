"""How long each stage of one run took: ``mcp run --timings``.

Several processes take part in a launch, one after the other forked from the one before, and each may note
that a stage is done. What they note lies in memory they share, so the last to leave a mark can execute the
server right after it. All times are of CLOCK_MONOTONIC, which is the same in all of them.

The server's output passes us by, so that its first byte is only seen to have been written: inotify(7) tells
of a write to a pipe, too.
"""

from __future__ import annotations

import mmap
import os
import select
import stat
import struct
import sys
import time

from mcp_client.light import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# When this module is imported, which is the first thing that is done with --timings. The kernel tells a
# process's start in steps of 10 ms only; the processor's time until now is more exact, and nearly the same.
_BEGAN = time.monotonic()
_BEFORE = time.process_time()

_PROCESSES = ("mcp", "porter", "init", "server")
_RECORD = struct.Struct("=d48s")
_MOST = 64
_OUTPUT = 1


class Stage(NamedTuple):
    """One stage: seconds since the start when it ended, seconds since the stage before, and who was in it."""

    at: float
    took: float
    process: str
    name: str


class Timings:
    """Marks of this process and of those it forks, each of which has at most one child that leaves marks.

    It is a companion of the supervisor, too, for the mark of the first byte.
    """

    due_at = None

    def __init__(self) -> None:
        """The clock started when this module was imported."""
        self._memory = mmap.mmap(-1, len(_PROCESSES) * _MOST * _RECORD.size)
        self._pid, self._process, self._marks = os.getpid(), 0, 0
        self._writes: int | None = None
        self._write(_BEGAN, "interpreter start (processor time)")

    def mark(self, stage: str) -> None:
        """Note that ``stage`` is done. Marks beyond the room for them are dropped."""
        now = time.monotonic()
        if os.getpid() != self._pid:
            # Forked since the last mark. In a pid namespace numbers are small, but never the parent's.
            self._pid, self._process, self._marks = os.getpid(), self._process + 1, 0
        self._write(now, stage)

    def follow(self, chunks: Iterable[bytes], stage: str) -> Iterator[bytes]:
        """``chunks``, with a mark at their end."""
        yield from chunks
        self.mark(stage)

    def stages(self) -> Sequence[Stage]:
        """All so far, in the order in which they ended; ``took`` adds up to the last ``at``."""
        marks = []
        for slot in range(len(_PROCESSES) * _MOST):
            at, name = _RECORD.unpack_from(self._memory, slot * _RECORD.size)
            if name[0]:
                process = _PROCESSES[slot // _MOST]
                marks.append((at - _BEGAN + _BEFORE, process, name.rstrip(b"\0").decode(errors="replace")))
        marks.sort(key=lambda mark: mark[0])
        before = [0.0, *(at for at, _, _ in marks)]
        return [Stage(at, at - last, *rest) for (at, *rest), last in zip(marks, before, strict=False)]

    def watch_launch(self) -> None:
        """Note each step of the sandbox's set-up in the process that takes it, and the first byte."""
        if sys.platform == "linux":
            from mcp_client.sandbox import channel
            from mcp_client.sandbox.linux import libc

            channel.step.watch = self.mark
            # A device such as /dev/null or a terminal is written to by others, too.
            if not stat.S_ISCHR(os.fstat(_OUTPUT).st_mode):
                self._writes = libc.watch_for_writes(f"/proc/self/fd/{_OUTPUT}")

    if sys.platform != "win32":

        def watch(self, poll: select.poll) -> None:
            """Register what tells of the first byte."""
            if self._writes is not None:
                poll.register(self._writes, select.POLLIN)

        def move(self, poll: select.poll, ready: dict[int, int]) -> None:
            """Mark the first byte; there is no second one."""
            if self._writes is not None and self._writes in ready:
                poll.unregister(self._writes)
                self.finish()

    def finish(self) -> None:
        """Mark a first byte that nobody was told of, because the server ended right after it."""
        if self._writes is None:
            return
        try:
            os.read(self._writes, 4096)
            self.mark("first byte on standard output")
        except BlockingIOError:
            # Nothing was written.
            pass
        os.close(self._writes)
        self._writes = None

    def describe(self) -> str:
        """A table in milliseconds."""
        lines = [f"mcp: timings, milliseconds\n{'at':>9} {'took':>8}  {'in':<7} stage\n"]
        lines += [
            f"{one.at * 1000:>9.2f} {one.took * 1000:>8.2f}  {one.process:<7} {one.name}\n"
            for one in self.stages()
        ]
        return "".join(lines)

    def _write(self, at: float, stage: str) -> None:
        if self._process < len(_PROCESSES) and self._marks < _MOST:
            slot = self._process * _MOST + self._marks
            _RECORD.pack_into(self._memory, slot * _RECORD.size, at, stage.encode(errors="replace"))
            self._marks += 1
