"""Standard input as lines and standard output as bytes that wait for their reader; neither is waited for."""

import os

# What poll(2) promises to fit into a pipe that is writable (pipe(7), PIPE_BUF).
_CHUNK = 4096
_READ = 1 << 16
# A message with an image or a document is a few MB; beyond this something is wrong.
LONGEST_LINE = 64 << 20


class LineReader:
    """``ended`` once nothing comes any more; ``too_long`` when that is because of what came."""

    def __init__(self, descriptor: int) -> None:
        """Any kind of descriptor; to be read when it is ready."""
        self.descriptor = descriptor
        self.ended = self.too_long = False
        self._parts: list[bytes] = []
        self._size = 0

    def read(self) -> list[bytes]:
        """The lines that one read completes, without their ends; the last one may lack its own."""
        try:
            data = os.read(self.descriptor, _READ)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self.ended = True
            rest, self._parts = b"".join(self._parts), []
            return [rest] if rest.strip() else []
        first, *others = data.split(b"\n")
        self._parts.append(first)
        self._size += len(first)
        if not others:
            self.too_long = self._size > LONGEST_LINE
            self.ended = self.ended or self.too_long
            return []
        lines = [b"".join(self._parts), *others[:-1]]
        self._parts, self._size = [others[-1]], len(others[-1])
        return [line for line in lines if line.strip()]


class LineWriter:
    """``pending`` bytes wait for room; ``broken`` once nobody reads."""

    def __init__(self, descriptor: int) -> None:
        """Any kind of descriptor; to be flushed when it is ready."""
        self.descriptor = descriptor
        self.broken = False
        self._pending = bytearray()

    @property
    def pending(self) -> int:
        """How many bytes wait."""
        return len(self._pending)

    def write(self, message: bytes) -> None:
        """Append one message. Line ends inside are blanks: JSON has none in its texts (RFC 8259, 7)."""
        if not self.broken:
            self._pending += message.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n"

    def flush(self) -> None:
        """Write what fits."""
        try:
            del self._pending[: os.write(self.descriptor, self._pending[:_CHUNK])]
        except BlockingIOError:
            return
        except OSError:
            self.give_up()

    def give_up(self) -> None:
        """Nobody reads any more."""
        self.broken = True
        self._pending.clear()
