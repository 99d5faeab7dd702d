"""How the processes of a launch talk to each other, and how the child's steps fail.

``setup`` carries lines: ``unshared``, ``init<TAB>PID``, ``ready<TAB>0|1`` (whether the gate is there), and
``failed<TAB>stage<TAB>errno<TAB>detail``. ``control`` carries single bytes the other way. ``events`` carries
fixed records from init for as long as the server runs; after the record FAILED comes text, to the end.
"""

from __future__ import annotations

import os
import struct

from mcp_client.light import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp_client.sandbox.linux.exits import Exits
    from mcp_client.sandbox.linux.ingress import Entrance


class Channel(NamedTuple):
    """Pipe ends of the child's side: ``setup`` and ``events`` are written, ``control`` is read.

    ``diagnostics`` is what becomes the server's standard error. ``exits`` are there where anything leads
    out, the ``entrance`` where the server listens.
    """

    setup: int
    events: int
    control: int
    diagnostics: int
    exits: Exits | None = None
    entrance: Entrance | None = None


PROGRAM_REFUSED, PROCESS_REFUSED, MEMORY_EXCEEDED, ENDED, FAILED = b"x", b"p", b"m", b"e", b"f"


class Event(NamedTuple):
    """What init says: one of the kinds above.

    ``status`` is the server's wait status, times are seconds, ``largest`` is the peak of the largest process
    and ``tree`` that of all together in bytes (0 where nobody looked), ``refused`` counts calls refused at
    the gate. Only ENDED, a last record, fills them. FAILED is one, too: init cannot do its work any more.
    """

    kind: bytes
    status: int = 0
    user_seconds: float = 0.0
    system_seconds: float = 0.0
    largest: int = 0
    tree: int = 0
    refused: int = 0

    def pack(self) -> bytes:
        """The record; short enough for the kernel to write it in one piece (pipe(7))."""
        return _EVENT.pack(*self)

    @classmethod
    def unpack(cls, data: bytes) -> Event:
        """The opposite."""
        return cls(*_EVENT.unpack(data))


_EVENT = struct.Struct("=cxxxiddQQQ")
EVENT_SIZE = _EVENT.size


class StepError(Exception):
    """A step of the set-up did not succeed; ``stage`` names it."""

    def __init__(self, stage: str, error: OSError) -> None:
        super().__init__(stage)
        self.stage = stage
        self.error = error


class step:  # noqa: N801  reads as the statement it is used as
    """Name the stage that an OSError inside belongs to."""

    # Called after each stage, in the process it belongs to, when somebody wants to know how long they take.
    watch: Callable[[str], None] | None = None

    def __init__(self, stage: str) -> None:
        self._stage = stage

    def __enter__(self) -> None:
        """Begin the stage."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Turn an OSError into a failure of this stage."""
        if isinstance(error, OSError):
            raise StepError(self._stage, error) from error
        if step.watch is not None:
            step.watch(self._stage)


def report_failure(channel: Channel, stage: str, error: OSError) -> None:
    """Tell the supervisor which step failed, and why."""
    reason = error.strerror or str(error)
    detail = f"{error.filename}: {reason}" if isinstance(error.filename, str) else reason
    line = f"failed\t{stage}\t{error.errno or 0}\t{detail}".replace("\n", " ")
    os.write(channel.setup, line.encode(errors="backslashreplace") + b"\n")


def await_word(control: int) -> int:
    """Wait for the supervisor's next byte; end of file means that it is gone, and so are we."""
    word = os.read(control, 1)
    if not word:
        os._exit(1)
    return word[0]
