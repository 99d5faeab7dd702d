"""The way in: init makes TCP sockets in the server's network and passes them out, to whoever asks for them.

A socket keeps the network namespace it was made in, so the supervisor can connect these to what the server
listens on, and the server never holds one. Messages on a pair of SOCK_SEQPACKET, one byte each way: the
family that is asked for, and the same with a batch of sockets, or with none where none could be made.
"""

from __future__ import annotations

import _socket
import struct

from mcp_client.sandbox.linux import libc

BATCH = 8
V4, V6 = b"4", b"6"
FAMILIES = {V4: _socket.AF_INET, V6: _socket.AF_INET6}


def make_entrance() -> tuple[Entrance, int]:
    """To be made before the fork, so that init has nothing to import; the supervisor's end is the second."""
    ours, theirs = libc.make_message_sockets()
    return Entrance(ours), theirs


class Entrance:
    """Init's end. It keeps no socket that it made, and answers one question a turn."""

    def __init__(self, channel: int) -> None:
        """``channel`` is init's end of libc.make_message_sockets(); the supervisor has the other one."""
        self._channel = _socket.socket(fileno=channel)

    @property
    def descriptor(self) -> int:
        """Readable when sockets are asked for."""
        return self._channel.fileno()

    def close(self) -> None:
        """In the supervisor, whose end is the other one."""
        self._channel.close()

    def answer(self) -> bool:
        """False when nobody will ask any more."""
        try:
            family = self._channel.recv(1)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if family not in FAMILIES:
            return False
        made = _make(FAMILIES[family])
        try:
            return self._send(family, made)
        finally:
            for end in made:
                end.close()

    def _send(self, family: bytes, made: list[_socket.socket]) -> bool:
        rights = struct.pack(f"={len(made)}i", *(end.fileno() for end in made))
        ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if made else []
        try:
            self._channel.sendmsg([family], ancillary, _socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError):
            return False
        except OSError:
            # Too many descriptors under way (ETOOMANYREFS, unix(7)): it is told that there are none.
            return not made or self._send(family, [])
        return True


def _make(family: int) -> list[_socket.socket]:
    made: list[_socket.socket] = []
    try:
        kind = _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK
        made.extend(_socket.socket(family, kind) for _ in range(BATCH))
    except OSError:
        # No room for more, or a family that this kernel does not have.
        return made
    return made


def ask(channel: _socket.socket, family: bytes) -> None:
    """Ask for a batch of ``family``. Raises OSError."""
    channel.sendmsg([family], [], _socket.MSG_NOSIGNAL)


def receive(channel: _socket.socket) -> tuple[bytes, list[_socket.socket]]:
    """A family and its batch; an empty family when init is gone. Raises OSError."""
    room = _socket.CMSG_SPACE(4 * BATCH)
    family, ancillary, _, _ = channel.recvmsg(1, room, _socket.MSG_CMSG_CLOEXEC)
    batch: list[_socket.socket] = []
    for level, kind, rights in ancillary:
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
            batch += [
                _socket.socket(fileno=number) for number in struct.unpack(f"={len(rights) // 4}i", rights)
            ]
    return family, batch
