"""The inner half of the allowlist: a loopback that leads to our sockets, and how these get out.

Sockets keep the namespace they were made in, so those made here and passed to the supervisor are the only
way out, and no socket of the host ever comes in. The messages between the two, on a pair of SOCK_SEQPACKET:
NAMES and LISTENER carry descriptors, REFUSED an address, and DECIDED is the supervisor's answer to LISTENER.
"""

import _socket
import errno
import os
import struct

from mcp_client.light import NamedTuple
from mcp_client.sandbox.linux.netlink import LOOPBACK, Netlink
from mcp_client.sandbox.spec import Way

NAMES, LISTENER, REFUSED, DECIDED = b"n", b"l", b"r", b"d"
# Kind, size of the address, port, system call, address.
_MESSAGE = struct.Struct("=cBHxxxxQ16s")
_PORT = struct.Struct("!H")
_SOCKADDR_V4, _SOCKADDR_V6 = 8, 24
_MAPPED = bytes(10) + b"\xff\xff"
_V4_SIZE = 4
_NAME_PORT = 53
_NAME_SOCKETS = (_socket.SOCK_DGRAM, _socket.SOCK_STREAM)
_BACKLOG = 1024
_MOST_DESCRIPTORS = 8
_IP_FREEBIND, _IPV6_FREEBIND = 15, 78


class Endpoint(NamedTuple):
    """An address of 4 or 16 bytes in network order, and a port."""

    address: bytes
    port: int

    @property
    def family(self) -> int:
        """AF_INET or AF_INET6."""
        return _socket.AF_INET if len(self.address) == _V4_SIZE else _socket.AF_INET6


class Message(NamedTuple):
    """One of the kinds above; ``call`` is the system call that LISTENER and DECIDED are about."""

    kind: bytes
    call: int = 0
    endpoint: Endpoint | None = None
    descriptors: tuple[int, ...] = ()


def open_way(way: Way) -> list[_socket.socket]:
    """Configure loopback and bind the name service, while init may still administer its network.

    A family that this kernel does not have is left out. Raises OSError.
    """
    opened = []
    with Netlink() as netlink:
        netlink.bring_up(LOOPBACK)
        for address in way.names:
            try:
                # Without an address that is not 127.0.0.1, getaddrinfo(3) hides answers (AI_ADDRCONFIG).
                netlink.add_address(LOOPBACK, address, len(address) * 8)
            except OSError:
                if len(address) == _V4_SIZE:
                    raise
                continue
            opened += [_bound(kind, Endpoint(address, _NAME_PORT)) for kind in _NAME_SOCKETS]
        families = {end.family for end in opened}
        for address, prefix in way.networks:
            if Endpoint(address, 0).family in families:
                netlink.add_local_route(LOOPBACK, address, prefix)
    return opened


def listen(endpoint: Endpoint) -> _socket.socket | None:
    """A listener there, ``None`` where there is one already, ours or the server's. Raises OSError."""
    try:
        return _bound(_socket.SOCK_STREAM, endpoint)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return None
        raise


def _bound(kind: int, endpoint: Endpoint) -> _socket.socket:
    end = _socket.socket(endpoint.family, kind)
    try:
        if endpoint.family == _socket.AF_INET6:
            end.setsockopt(_socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
            end.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
        else:
            end.setsockopt(_socket.IPPROTO_IP, _IP_FREEBIND, 1)
        if kind == _socket.SOCK_STREAM:
            # Connections that have ended do not keep a listener from coming back.
            end.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        end.bind((_socket.inet_ntop(endpoint.family, endpoint.address), endpoint.port))
        if kind == _socket.SOCK_STREAM:
            end.listen(_BACKLOG)
    except BaseException:
        end.close()
        raise
    return end


def wanted_endpoint(thread: int, pointer: int, size: int) -> Endpoint | None:
    """What a stopped connect(2) asks for: ``pointer`` and ``size`` are its last two arguments.

    Only a hint: another thread may change it after the look. ``None`` for other families, port 0, and a bad
    pointer. Raises PermissionError for a process that hides its memory (prctl(2), PR_SET_DUMPABLE).
    """
    try:
        descriptor = os.open(f"/proc/{thread}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        raise
    except OSError:
        return None
    try:
        return parse_sockaddr(os.pread(descriptor, min(size, 28), pointer))
    except (OSError, OverflowError):
        return None
    finally:
        os.close(descriptor)


def parse_sockaddr(data: bytes) -> Endpoint | None:
    """The endpoint of a struct sockaddr_in or sockaddr_in6; IPv4 in its IPv6 form is IPv4."""
    family = int.from_bytes(data[:2], "little" if struct.pack("=H", 1)[0] else "big")
    if family == _socket.AF_INET and len(data) >= _SOCKADDR_V4:
        address = data[4:8]
    elif family == _socket.AF_INET6 and len(data) >= _SOCKADDR_V6:
        address = data[8:24].removeprefix(_MAPPED)
    else:
        return None
    (port,) = _PORT.unpack_from(data, 2)
    return Endpoint(address, port) if port else None


def send(channel: _socket.socket, message: Message) -> None:
    """Send one message with its descriptors, which stay open here. Raises OSError."""
    address, port = message.endpoint or (b"", 0)
    data = _MESSAGE.pack(message.kind, len(address), port, message.call, address)
    rights = struct.pack(f"={len(message.descriptors)}i", *message.descriptors)
    ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if rights else []
    channel.sendmsg([data], ancillary, _socket.MSG_NOSIGNAL)


def receive(channel: _socket.socket) -> Message | None:
    """The next message, ``None`` when the other half is gone. Raises OSError."""
    room = _socket.CMSG_SPACE(4 * _MOST_DESCRIPTORS)
    data, ancillary, _, _ = channel.recvmsg(_MESSAGE.size, room, _socket.MSG_CMSG_CLOEXEC)
    descriptors: list[int] = []
    for level, kind, rights in ancillary:
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
            descriptors += struct.unpack(f"={len(rights) // 4}i", rights)
    if len(data) != _MESSAGE.size:
        return None
    kind, size, port, call, address = _MESSAGE.unpack(data)
    endpoint = Endpoint(address[:size], port) if size else None
    return Message(kind, call, endpoint, tuple(descriptors))
