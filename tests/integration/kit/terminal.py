"""A terminal to look at: a pseudo terminal of the kernel, and an emulator that draws what is written."""

import fcntl
import os
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import pyte

_PATIENCE = 30.0


class Terminal:
    """``lines`` by ``columns``; what is written to ``descriptor`` is on ``screen`` and in ``raw``."""

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        self.master, self.descriptor = os.openpty()
        self.screen = pyte.HistoryScreen(columns, lines, history=1000)
        self.raw = b""
        self._stream = pyte.ByteStream(self.screen)
        self._size(columns, lines)

    def resize(self, columns: int, lines: int) -> None:
        self._size(columns, lines)
        self.screen.resize(lines, columns)

    def start(
        self, command: Sequence[str], env: Mapping[str, str], **options: Any
    ) -> subprocess.Popen[bytes]:
        """A program whose three streams and controlling terminal this is, so that ^C reaches it."""
        return subprocess.Popen(
            ["setsid", "--ctty", "--wait", *command],
            env={"TERM": "xterm", **env},
            stdin=self.descriptor,
            stdout=self.descriptor,
            stderr=self.descriptor,
            **options,
        )

    def press(self, data: bytes) -> None:
        os.write(self.master, data)

    def shown(self) -> list[str]:
        """Lines on the screen, without what is empty at the end."""
        lines = [line.rstrip() for line in self.screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def scrolled(self) -> list[str]:
        """Lines that went off the top."""
        return [
            "".join(line[column].data for column in range(self.screen.columns)).rstrip()
            for line in self.screen.history.top
        ]

    def take(self, seconds: float = 0.0) -> bool:
        """Read what there is; whether there was anything."""
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)

    def until(self, what: Callable[[], bool]) -> None:
        """Read until ``what`` is the case; a test that waits in vain fails with what is on the screen."""
        end = time.monotonic() + _PATIENCE
        while not what():
            assert time.monotonic() < end, self.shown()
            self.take(0.05)

    def finish(self, process: subprocess.Popen[bytes]) -> int:
        """The status of a program that ends by itself; everything it wrote has been drawn then."""
        self.until(lambda: process.poll() is not None)
        while self.take():
            pass
        return process.returncode

    def _size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.master)
        os.close(self.descriptor)
