"""The gate: system calls that init decides one by one (seccomp_unotify(2)).

The kernel stops the caller, tells init, and lets the call happen or fail as init says. Decisions are
made by the call's number and what travels in registers, never by memory, which another thread could change
after the look.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
import struct
import time

from mcp_client.light import TYPE_CHECKING
from mcp_client.sandbox.linux import libc

if TYPE_CHECKING:
    from mcp_client.sandbox.linux.exits import Exits
    from mcp_client.sandbox.linux.population import Population

# _IOWR('!', 0, struct seccomp_notif) and _IOWR('!', 1, struct seccomp_notif_resp), linux/seccomp.h
_RECEIVE = 0xC0502100
_SEND = 0xC0182101
_NOTIFICATION = struct.Struct("=QI4xi4x8x6Q")
_RESPONSE = struct.Struct("=QqiI")
_CONTINUE = 1
_CONNECT = 42 if os.uname().machine == "x86_64" else 203

# A fork that was let through takes less, unless its caller is kept from running.
_IN_FLIGHT_SECONDS = 1.0
# Somebody who asks this often wants to keep init busy; without a listener the kernel itself says no (ENOSYS).
_PATIENCE = 100
# With exits the listener has to stay: then the server waits after so many calls.
_CALLS_AT_ONCE, _MOMENT_SECONDS = 400, 0.1


class Gatekeeper:
    """Answers for one listener.

    With ``processes`` None the server may not start any, and the first program executed, which is the
    server itself, is the last. Otherwise that many may exist at a time, itself included; threads are free.
    """

    def __init__(
        self, listener: int, processes: int | None, population: Population, exits: Exits | None = None
    ) -> None:
        """``listener`` is the descriptor that came with the filter; ``population`` is who is counted.

        ``exits`` are asked about connections.
        """
        self.descriptor = listener
        self.exits = exits
        self.refusals = 0
        self.closed = False
        self._processes = processes
        self._population = population
        self._executed = False
        self._in_flight: dict[int, float] = {}
        self._moment, self._calls = 0.0, 0

    @property
    def counts_processes(self) -> bool:
        """Whether it is processes that are asked for, rather than programs."""
        return self._processes is not None

    def answer(self) -> None:
        """Decide about the next call, if its caller is still there."""
        request = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(self.descriptor, _RECEIVE, request)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.EINTR}:
                return
            raise
        caller, thread, number, *arguments = _NOTIFICATION.unpack(request)
        self._calls += 1
        if self.exits is not None and number == _CONNECT:
            if self.exits.ask(caller, thread, (arguments[0], arguments[1], arguments[2])):
                self._let_through(caller)
        elif self._processes is None:
            self._decide_program(caller)
        else:
            self._decide_process(caller, thread, self._processes)

    def let_decided_through(self) -> bool:
        """The connections that the supervisor has decided about; False when it will decide no more."""
        if self.exits is None:
            return False
        for caller in self.exits.answers():
            self._let_through(caller)
        return self.exits.attended

    def rest_until(self, now: float) -> float | None:
        """When to look at further calls, if not at once: init must not be kept busy for nothing."""
        if now - self._moment >= _MOMENT_SECONDS:
            self._moment, self._calls = now, 0
        return self._moment + _MOMENT_SECONDS if self._calls >= _CALLS_AT_ONCE else None

    def _decide_program(self, caller: int) -> None:
        if self._executed:
            self._refuse(caller, errno.EPERM)
            if self.refusals >= _PATIENCE and self.exits is None:
                os.close(self.descriptor)
                self.closed = True
        else:
            # Still our own code and a single thread: nothing else can hold this place.
            self._executed = self._let_through(caller)

    def _decide_process(self, caller: int, thread: int, limit: int) -> None:
        """A fork that was let through and cannot be seen yet takes a place as well."""
        self._in_flight.pop(thread, None)
        if len(self._population.pids()) + len(self._in_flight) >= limit:
            now = time.monotonic()
            self._in_flight = {
                other: since
                for other, since in self._in_flight.items()
                if now - since < _IN_FLIGHT_SECONDS and _may_be_forking(other)
            }
        # Counted after the others were looked at: whatever has left its fork by then is seen.
        if len(self._population.pids()) + len(self._in_flight) >= limit:
            self._refuse(caller, errno.EAGAIN)
        elif self._let_through(caller):
            self._in_flight[thread] = time.monotonic()

    def _refuse(self, caller: int, number: int) -> None:
        self.refusals += 1
        self._respond(caller, -number, 0)

    def _let_through(self, caller: int) -> bool:
        return self._respond(caller, 0, _CONTINUE)

    def _respond(self, caller: int, error: int, flags: int) -> bool:
        """False when the caller was interrupted or ended meanwhile; it asks again if it still wants to."""
        try:
            fcntl.ioctl(self.descriptor, _SEND, _RESPONSE.pack(caller, 0, error, flags))
        except OSError as failure:
            if failure.errno == errno.ENOENT:
                return False
            raise
        return True


def _may_be_forking(thread: int) -> bool:
    """Not when it sleeps, is stopped or gone: a fork does none of these (proc_pid_stat(5), "state")."""
    try:
        with open(f"/proc/{thread}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] in {"R", "D"}
    except (OSError, IndexError):
        return False


def load_gate(program: bytes, init: int) -> bool:
    """In the server's process: install the gate and pass its listener through the socket ``init``.

    False where an outer supervisor holds the only listener that a process tree can have (EBUSY): the gate is
    then not there, and init is told. Raises OSError for all else.
    """
    end = _socket.socket(fileno=init)
    try:
        try:
            listener = libc.load_seccomp_listener(program)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            end.sendmsg([b"-"])
            return False
        rights = struct.pack("=i", listener)
        end.sendmsg([b"+"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
        os.close(listener)
        return True
    finally:
        end.detach()


def receive_listener(server: int) -> int | None:
    """In init: the listener that load_gate() passes; None when there is none, or the server ended before."""
    end = _socket.socket(fileno=server)
    try:
        _, ancillary, _, _ = end.recvmsg(1, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
    finally:
        end.detach()
    for level, kind, data in ancillary:
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
            return int(struct.unpack("=i", data[:4])[0])
    return None
