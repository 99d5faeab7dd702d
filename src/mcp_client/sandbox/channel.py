"""How the processes of a launch talk to each other, and how the child's steps fail.

``setup`` carries lines: ``unshared``, ``init<TAB>PID``, ``ready<TAB>0|1`` (whether the gate is there), and
``failed<TAB>stage<TAB>errno<TAB>detail``. ``control`` carries single bytes the other way. ``events`` carries
fixed records from init for as long as the server runs; after the record FAILED comes text, to the end.
"""

from __future__ import annotations

import os
import struct

from mcp_client.errors import MCPError, printable
from mcp_client.light import TYPE_CHECKING, NamedTuple, signal
from mcp_client.sandbox.spec import ProcessExit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType
    from typing import NoReturn

    from mcp_client.sandbox.linux.exits import Exits
    from mcp_client.sandbox.linux.ingress import Entrance
    from mcp_client.sandbox.spec import Happening, Usage


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


FORWARDED_SIGNALS = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
# With its record in one piece: pipe(2) of macOS promises 512 bytes there, pipe(7) of Linux 4096.
_LONGEST_DETAIL = 400

PROGRAM_REFUSED, PROCESS_REFUSED, MEMORY_EXCEEDED, ENDED, FAILED = b"x", b"p", b"m", b"e", b"f"
_HAPPENINGS: dict[bytes, Happening] = {
    PROGRAM_REFUSED: "program-refused",
    PROCESS_REFUSED: "process-refused",
    MEMORY_EXCEEDED: "memory-exceeded",
    ENDED: "ended",
}


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


def say(events: int, event: Event) -> None:
    """To the supervisor, where it still listens."""
    try:
        os.write(events, event.pack())
    except BrokenPipeError:
        # It is gone; another pipe that hangs up says so too, and is what is acted on.
        return


def say_fault(events: int, error: BaseException) -> None:
    """Why the server cannot be kept any longer. Raises OSError."""
    detail = f"{type(error).__name__}: {error}".encode(errors="backslashreplace")
    os.write(events, Event(FAILED).pack() + detail[:_LONGEST_DETAIL])


def listen_to_signals() -> tuple[int, int]:
    """Both ends of a pipe that carries numbers of signals: SIGCHLD and FORWARDED_SIGNALS, blocked so far.

    They are acted on in a loop, not by a handler: that could come in the middle of a look at the processes,
    or when the server's number is a stranger's already.
    """
    wake, write = os.pipe()
    for end in (wake, write):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, *FORWARDED_SIGNALS):
        signal.signal(number, _noted)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED_SIGNALS)
    # A child may have ended before the handler was there.
    os.write(write, b"\0")
    return wake, write


def take_forwarded(wake: int) -> Iterable[int]:
    """Which of FORWARDED_SIGNALS came, from a pipe that is readable."""
    return filter(FORWARDED_SIGNALS.__contains__, os.read(wake, 64))


def _noted(_number: int, _frame: FrameType | None) -> None:
    """The pipe carries the number; without a handler, pid 1 would not be woken."""


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


class Launched:
    """The supervisor's side: lines until the server executes, events from then on."""

    # Who keeps the server, and what to do where that ended before it was ready.
    _guardian: str
    _hint: str
    _setup: int
    events: int
    _lines = b""
    _last: Event | None = None
    _fault: str | None = None
    _memory_exceeded = False

    def next_event(self) -> Happening:
        """What made ``events`` readable; "ended" also when the guardian itself is gone."""
        data = os.read(self.events, EVENT_SIZE)
        if len(data) != EVENT_SIZE:
            return "ended"
        event = Event.unpack(data)
        if event.kind == FAILED:
            self._fault = printable(os.read(self.events, 4096).decode(errors="replace"))
            return "ended"
        if event.kind == ENDED:
            self._last = event
        self._memory_exceeded |= event.kind == MEMORY_EXCEEDED
        return _HAPPENINGS[event.kind]

    def _expect(self, word: str) -> list[str]:
        line = self._read_line()
        if line is None:
            raise MCPError(
                "sandbox-setup-failed",
                f"the sandbox ended before it was ready (waiting for {word!r})",
                hint=self._hint,
            )
        found, *fields = line.split("\t")
        if found != word:
            self._raise_failure(line)
        return fields

    def _read_line(self) -> str | None:
        while b"\n" not in self._lines:
            data = os.read(self._setup, 4096)
            if not data:
                return None
            self._lines += data
        line, _, self._lines = self._lines.partition(b"\n")
        return line.decode(errors="replace")

    def _raise_failure(self, line: str) -> NoReturn:
        _, stage, number, detail = line.split("\t", 3)
        raise self._explain(stage, int(number), printable(detail))

    def _explain(self, stage: str, code: int, detail: str) -> MCPError:
        """A step that failed with the errno ``code``, as users are told."""
        raise NotImplementedError

    def _refuse_fault(self, status: int) -> None:
        """A guardian that was killed is the server's end; one that exits by itself had another reason to."""
        if self._fault is not None or (self._last is None and os.WIFEXITED(status)):
            why = self._fault or f"its {self._guardian} is gone"
            raise MCPError(
                "sandbox-failed",
                f"the sandbox could not be kept up ({why}); the server was ended",
                hint="this is a defect; report it",
            )

    def _describe_end(self, last: Event, usage: Usage, *, out_of_memory: bool) -> ProcessExit:
        code = os.waitstatus_to_exitcode(last.status)
        return ProcessExit(
            status=code if code >= 0 else None,
            signal=None if code >= 0 else -code,
            out_of_memory=out_of_memory,
            refused=last.refused,
            usage=usage,
        )
