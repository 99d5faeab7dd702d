"""The gate: system calls that init decides one by one (seccomp_unotify(2)).

The kernel stops the caller, tells init, and lets the call happen or fail as init says. Only the call's number
and what travels in registers is looked at, never memory, which another thread could change after the look.
"""

import _socket
import errno
import fcntl
import os
import struct
import time

from mcp_client.sandbox.linux import libc

# _IOWR('!', 0, struct seccomp_notif) and _IOWR('!', 1, struct seccomp_notif_resp), linux/seccomp.h
_RECEIVE = 0xC0502100
_SEND = 0xC0182101
_NOTIFICATION = struct.Struct("=Q72x")
_RESPONSE = struct.Struct("=QqiI")
_CONTINUE = 1

_APPEARS_WITHIN = 0.01
_LOOK_AGAIN_AFTER = 0.0001
_HELD_FOR = 1.0
# Somebody who asks this often wants to keep init busy; without a listener the kernel itself says no (ENOSYS).
_PATIENCE = 100


class Gatekeeper:
    """Answers for one listener.

    With ``processes`` None the server may not start any, and the first program executed, which is the
    server itself, is the last. Otherwise that many may exist at a time, itself included; threads are free.
    """

    def __init__(self, listener: int, processes: int | None) -> None:
        """``listener`` is the descriptor that came with the filter."""
        self.descriptor = listener
        self.refusals = 0
        self.closed = False
        self._processes = processes
        self._executed = False
        self._unseen: list[float] = []

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
        (caller,) = _NOTIFICATION.unpack(request)
        if self._processes is None:
            self._decide_program(caller)
        else:
            self._decide_process(caller, self._processes)

    def _decide_program(self, caller: int) -> None:
        if self._executed:
            self._refuse(caller, errno.EPERM)
            if self.refusals >= _PATIENCE:
                os.close(self.descriptor)
                self.closed = True
        else:
            # Still our own code and a single thread: nothing else can hold this place.
            self._executed = self._let_through(caller)

    def _decide_process(self, caller: int, limit: int) -> None:
        """One at a time: a process that was let through must be visible before the next is counted."""
        now = time.monotonic()
        self._unseen = [since for since in self._unseen if now - since < _HELD_FOR]
        before = count_processes()
        if before + len(self._unseen) >= limit:
            self._refuse(caller, errno.EAGAIN)
        elif self._let_through(caller):
            while count_processes() <= before:
                if time.monotonic() - now > _APPEARS_WITHIN:
                    # It failed, ended already, or waits for its turn to run: its place stays taken for now.
                    self._unseen.append(now)
                    return
                time.sleep(_LOOK_AGAIN_AFTER)

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


def count_processes() -> int:
    """Processes in this pid namespace, threads not counted, init itself left out."""
    return sum(name.isdigit() for name in os.listdir("/proc")) - 1


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
