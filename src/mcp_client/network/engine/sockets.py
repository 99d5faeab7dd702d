"""What the ``socket`` module would add to ``_socket``, which starts 6 ms sooner."""

from __future__ import annotations

import _socket
import errno
import os
import struct
import sys

from mcp_client.light import TYPE_CHECKING
from mcp_client.network.addresses import V4_BITS, Address

if TYPE_CHECKING:
    from typing import Any

_KEEP_ALIVE_SECONDS = 60
# Of which the first byte is looked at; XNU gives all or nothing.
_INFO_SIZE = 1 if sys.platform == "linux" else 256
_RESET = struct.pack("=ii", 1, 0)
if sys.platform == "linux":
    # An end that has closed is an error of this connection, not a signal to the process.
    NO_SIGNAL = _socket.MSG_NOSIGNAL
    _KEEP_IDLE = _socket.TCP_KEEPIDLE
    _TCP_INFO = _socket.TCP_INFO
    # TCP_CLOSE, TCP_CLOSE_WAIT, TCP_LAST_ACK, TCP_CLOSING and TCP_TIME_WAIT (include/net/tcp_states.h).
    _PEER_ENDED = frozenset({7, 8, 9, 11, 6})
else:
    # Python ignores the signal, whatever else is not told here.
    NO_SIGNAL = 0
    _KEEP_IDLE = 0x10  # TCP_KEEPALIVE, netinet/tcp.h
    _TCP_INFO = 0x106  # TCP_CONNECTION_INFO, which begins with the state as well
    # TCPS_CLOSED, TCPS_CLOSE_WAIT, TCPS_CLOSING, TCPS_LAST_ACK and TCPS_TIME_WAIT (netinet/tcp_fsm.h).
    _PEER_ENDED = frozenset({0, 5, 7, 8, 10})


def family_of(address: Address) -> int:
    """AF_INET or AF_INET6."""
    return _socket.AF_INET if address.bits == V4_BITS else _socket.AF_INET6


def accept(listener: Any) -> _socket.socket:
    """The next connection, non-blocking. Raises OSError."""
    descriptor, _ = listener._accept()  # noqa: SLF001  where socket.accept() has it from
    accepted = _socket.socket(listener.family, _socket.SOCK_STREAM, 0, descriptor)
    accepted.setblocking(False)
    return accepted


def connecting(address: Address, port: int) -> _socket.socket:
    """A non-blocking connection on its way. Raises OSError when it already failed."""
    attempt = _socket.socket(family_of(address), _socket.SOCK_STREAM)
    attempt.setblocking(False)
    try:
        prepare(attempt)
        error = attempt.connect_ex((str(address), port))
    except BaseException:
        attempt.close()
        raise
    if error not in {0, errno.EINPROGRESS}:
        attempt.close()
        raise OSError(error, os.strerror(error))
    return attempt


def prepare(end: _socket.socket) -> None:
    """We wait for nothing that could fill a packet; and a peer that vanished is noticed (tcp(7))."""
    end.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    end.setsockopt(_socket.SOL_SOCKET, _socket.SO_KEEPALIVE, 1)
    end.setsockopt(_socket.IPPROTO_TCP, _KEEP_IDLE, _KEEP_ALIVE_SECONDS)


def peer_ended(end: _socket.socket) -> bool:
    """Whether the peer of a TCP connection sends no more; what it sent before may still be unread."""
    try:
        # struct tcp_info begins with the state, one byte (tcp(7), tcp(4)).
        return end.getsockopt(_socket.IPPROTO_TCP, _TCP_INFO, _INFO_SIZE)[0] in _PEER_ENDED
    except OSError:
        return True


def reset(end: _socket.socket) -> None:
    """Close so that the peer sees an error rather than an end (SO_LINGER with zero, socket(7))."""
    try:
        end.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, _RESET)
    finally:
        end.close()
