"""The keeper: parent of the server, in a process of its own, for as long as anything of the server lives.

It passes signals on, looks at what the server uses, and ends the whole family: when the server has ended,
when a limit is reached, and when ``mcp`` hangs up or is gone, however it went. Only where both are killed at
the same moment does the server stay, with the end of its input as the only word that it gets.
"""

import os
import select
import signal
import sys
import time
from typing import NoReturn

from mcp_client.sandbox.channel import (
    ENDED,
    FORWARDED_SIGNALS,
    MEMORY_EXCEEDED,
    PROCESS_REFUSED,
    Channel,
    Event,
    StepError,
    await_word,
    listen_to_signals,
    report_failure,
    say,
    say_fault,
    step,
    take_forwarded,
)
from mcp_client.sandbox.darwin.family import Family
from mcp_client.sandbox.darwin.metering import Meter
from mcp_client.sandbox.darwin.server import Start, become_server, close_all_but
from mcp_client.sandbox.darwin.table import ProcessTable
from mcp_client.sandbox.spec import SandboxSpec

# getrusage(2): ru_maxrss is in kilobytes on Linux and in bytes on macOS.
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


def run_keeper(
    spec: SandboxSpec, start: Start, channel: Channel, life: int, table: ProcessTable, mark: tuple[str, str]
) -> NoReturn:
    """Entered right after the fork; never returns. ``mark`` as in :class:`Family`.

    ``channel.control`` is the server's, who waits there for the word to execute; ``life`` is a pipe that only
    ever hangs up: the supervisor wants the end, or is gone.
    """
    try:
        try:
            with step("leave the session"):
                os.setsid()
                signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED_SIGNALS)
            with step("fork the server"):
                held, let_go = os.pipe()
                server = os.fork()
            if server == 0:
                os.close(let_go)
                await_word(held)
                become_server(start, channel)
            keeper = Keeper(spec, server, channel.events, life, table, mark)
            # Not a step of the server before it is known, and no word of it before this one.
            os.write(channel.setup, f"init\t{server}\n".encode())
            os.write(let_go, b"\0")
            keeper.run()
        except StepError as failure:
            report_failure(channel, failure.stage, failure.error)
        except BaseException as error:  # noqa: BLE001  the last frame of this process: anything else must fail closed
            report_failure(channel, type(error).__name__, OSError(0, str(error)))
    finally:
        os._exit(1)


class Keeper:
    """Stays until the family has ended and the supervisor has seen how."""

    def __init__(
        self,
        spec: SandboxSpec,
        server: int,
        events: int,
        life: int,
        table: ProcessTable,
        mark: tuple[str, str],
    ) -> None:
        """``server`` is a child; FORWARDED_SIGNALS are blocked until run()."""
        self._server, self._events, self._life, self._table = server, events, life, table
        self._family = Family(table, server, mark, alone=not spec.subprocess)
        processes = spec.limits.processes if spec.subprocess else None
        self._meter = Meter(spec.limits, self._family, table, processes=processes)

    def run(self) -> NoReturn:
        """Whatever happens here, the server does not outlive it."""
        try:
            self._live()
        except BaseException as error:  # noqa: BLE001  unkept the server may not go on
            try:
                say_fault(self._events, error)
            finally:
                self._family.end()
        os._exit(1)

    def _live(self) -> None:
        wake = self._listen_to_signals()
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        # macOS tells of a hang-up only where reading is waited for as well.
        poll.register(self._life, select.POLLIN)
        while True:
            ready = dict(poll.poll(self._milliseconds_to_wait()))
            if wake in ready:
                for number in take_forwarded(wake):
                    self._forward(number)
                self._reap()
            if self._life in ready:
                self._family.end()
                self._reap()
                poll.unregister(self._life)
            if self._meter.due_at is not None and time.monotonic() >= self._meter.due_at:
                self._look()

    def _listen_to_signals(self) -> int:
        wake, write = listen_to_signals()
        # The client must see the end of the server's output as soon as the server closes it.
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for standard in range(3):
            os.dup2(null, standard)
        close_all_but(0, 1, 2, wake, write, self._events, self._life)
        return wake

    def _milliseconds_to_wait(self) -> float | None:
        due = self._meter.due_at
        return None if due is None else max(0.0, due - time.monotonic()) * 1000 + 1

    def _forward(self, number: int) -> None:
        # A child of ours keeps its number until we wait for it.
        try:
            os.kill(self._server, number)
        except ProcessLookupError:
            return
        self._meter.give_way()

    def _look(self) -> None:
        self._meter.look()
        if self._meter.memory_exceeded:
            say(self._events, Event(MEMORY_EXCEEDED))
        elif self._meter.processes_exceeded:
            say(self._events, Event(PROCESS_REFUSED))

    def _reap(self) -> None:
        """Once the server has ended; its number stays its own while the others are looked for."""
        if self._table.look(self._server) is not None:
            return
        ended = self._family.end()
        _, status, usage = os.wait4(self._server, 0)
        if not ended:
            raise TimeoutError("some of the server's processes cannot be killed")
        times = usage.ru_utime, usage.ru_stime
        refused = int(self._meter.processes_exceeded)
        largest = usage.ru_maxrss * _MAXRSS_UNIT
        say(self._events, Event(ENDED, status, *times, largest, self._meter.peak, refused))
        # Until the supervisor has heard it.
        while os.read(self._life, 1):
            pass
        os._exit(0)
