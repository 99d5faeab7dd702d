"""The life of the sandbox's init once the server exists: forward signals, keep the gate, meter, reap.

Where it is pid 1, its own end makes the kernel kill everything that is left in the pid namespace.
"""

from __future__ import annotations

import os
import select
import time

from mcp_client.light import TYPE_CHECKING, signal
from mcp_client.memory import give_back
from mcp_client.sandbox.channel import (
    ENDED,
    MEMORY_EXCEEDED,
    PROCESS_REFUSED,
    PROGRAM_REFUSED,
    Event,
    listen_to_signals,
    say,
    say_fault,
    take_forwarded,
)
from mcp_client.sandbox.linux import libc

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

    from mcp_client.sandbox.channel import (
        Channel,
    )
    from mcp_client.sandbox.linux.gate import Gatekeeper
    from mcp_client.sandbox.linux.metering import Meter
    from mcp_client.sandbox.linux.population import Population

# Until here a server's start may ask the gate, and would wait for what only makes us smaller.
_SETTLED_SECONDS = 0.2


class Reaper:
    """Stays until the server has ended and the supervisor has seen how."""

    def __init__(
        self,
        server: int,
        channel: Channel,
        gate: Gatekeeper | None,
        meter: Meter,
        population: Population,
        kept: Iterable[int] = (),
    ) -> None:
        """``server`` is a child; FORWARDED_SIGNALS are blocked until run(). ``kept`` stays open."""
        self._population = population
        self._kept = tuple(kept)
        self._server = server
        self._channel = channel
        self._gate = gate
        self._meter = meter
        self._rest_until: float | None = None
        self._give_back_at: float | None = time.monotonic() + _SETTLED_SECONDS
        self._notice = PROCESS_REFUSED if gate is not None and gate.counts_processes else PROGRAM_REFUSED

    def run(self, null: int) -> NoReturn:
        """``null`` takes the place of the standard descriptors."""
        try:
            self._live(null)
        except BaseException as error:  # noqa: BLE001  whatever it is: unkept the server may not go on
            self._fail(error)

    def _live(self, null: int) -> NoReturn:
        wake = self._listen_to_signals()
        self._let_go(null)
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        # It only ever hangs up: the supervisor is gone, or wants the end.
        poll.register(self._channel.control, 0)
        if self._gate is not None:
            poll.register(self._gate.descriptor, select.POLLIN)
            if self._gate.exits is not None:
                poll.register(self._gate.exits.descriptor, select.POLLIN)
        entrance = self._channel.entrance
        if entrance is not None:
            poll.register(entrance.descriptor, select.POLLIN)
        while True:
            ready = dict(poll.poll(self._milliseconds_to_wait()))
            if entrance is not None and entrance.descriptor in ready and not entrance.answer():
                poll.unregister(entrance.descriptor)
            if wake in ready:
                for number in take_forwarded(wake):
                    self._forward(number)
                self._reap()
            if self._channel.control in ready:
                poll.unregister(self._channel.control)
                self._forward(signal.SIGKILL)
            if self._gate is not None:
                self._keep_gate(self._gate, poll, ready)
            self._keep_time(time.monotonic())

    def _keep_gate(self, gate: Gatekeeper, poll: select.poll, ready: dict[int, int]) -> None:
        if gate.exits is not None and gate.exits.descriptor in ready and not gate.let_decided_through():
            poll.unregister(gate.exits.descriptor)
        if gate.descriptor in ready:
            if ready[gate.descriptor] & select.POLLIN:
                self._ask_gate(gate)
                self._rest_until = gate.rest_until(time.monotonic())
                if self._rest_until is not None and not gate.closed:
                    poll.modify(gate.descriptor, 0)
            if gate.closed or not ready[gate.descriptor] & select.POLLIN:
                # Closed for good, or the last process behind it has ended.
                poll.unregister(gate.descriptor)
                self._rest_until = None
        if self._rest_until is not None and time.monotonic() >= self._rest_until:
            poll.modify(gate.descriptor, select.POLLIN)
            self._rest_until = None

    def _keep_time(self, now: float) -> None:
        if self._meter.due_at is not None and now >= self._meter.due_at:
            self._look()
        if self._give_back_at is not None and now >= self._give_back_at:
            self._give_back_at = None
            give_back()

    def _listen_to_signals(self) -> int:
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            # The supervisor's handlers mean nothing here, and the server may send us all of them.
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        wake, write = listen_to_signals()
        self._kept += (wake, write)
        return wake

    def _let_go(self, null: int) -> None:
        """Close all but what is used here.

        The client must see end of file as soon as the server closes its side, and exec must show as such.
        """
        for standard in range(3):
            os.dup2(null, standard)
        gate = () if self._gate is None else (self._gate.descriptor,)
        exits = () if self._channel.exits is None else (self._channel.exits.descriptor,)
        entrance = () if self._channel.entrance is None else (self._channel.entrance.descriptor,)
        ends = (self._channel.events, self._channel.control, *gate, *exits, *entrance)
        libc.close_all_but(0, 1, 2, *self._kept, *ends)

    def _milliseconds_to_wait(self) -> float | None:
        times = (self._meter.due_at, self._rest_until, self._give_back_at)
        due = [at for at in times if at is not None]
        return max(0.0, min(due) - time.monotonic()) * 1000 + 1 if due else None

    def _forward(self, number: int) -> None:
        try:
            os.kill(self._server, number)
        except ProcessLookupError:
            # The server ended first; its status is about to be reported.
            return
        self._meter.give_way()

    def _ask_gate(self, gate: Gatekeeper) -> None:
        before = gate.refusals
        gate.answer()
        if before == 0 < gate.refusals:
            say(self._channel.events, Event(self._notice))

    def _look(self) -> None:
        self._meter.look()
        if self._meter.exceeded:
            say(self._channel.events, Event(MEMORY_EXCEEDED))
            self._meter.due_at = None

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._server:
                self._population.end()
                refused = 0 if self._gate is None else self._gate.refusals
                largest = usage.ru_maxrss * 1024
                times = usage.ru_utime, usage.ru_stime
                say(self._channel.events, Event(ENDED, status, *times, largest, self._meter.peak, refused))
                # Until the supervisor has read what the cgroup knows, which goes when its last process does.
                os.read(self._channel.control, 1)
                os._exit(0)

    def _fail(self, error: BaseException) -> NoReturn:
        try:
            say_fault(self._channel.events, error)
            self._population.end()
        finally:
            os._exit(1)
