"""A name server for one zone, by UDP and TCP; it writes down what it is asked."""

import ipaddress
import socket
import socketserver
import struct
from collections.abc import Callable
from typing import Any

import places

_A, _CNAME, _AAAA, _IN = 1, 5, 28, 1
_RESPONSE, _AUTHORITATIVE, _NO_SUCH_NAME = 0x8180, 0x0400, 3


def answer(query: bytes) -> tuple[bytes, str, int]:
    """The answer to a query, with the name and the type that it asked for."""
    identity, _, _, _, _, _ = struct.unpack("!6H", query[:12])
    labels, at = [], 12
    while size := query[at]:
        labels.append(query[at + 1 : at + 1 + size].decode("ascii", "replace"))
        at += size + 1
    kind, _ = struct.unpack("!2H", query[at + 1 : at + 5])
    question, name = query[12 : at + 5], ".".join(labels).lower()
    records: list[bytes] = []
    found = places.ZONE.get(name)
    pointer = b"\xc0\x0c"
    if isinstance(found, str):
        records.append(_record(pointer, _CNAME, _encoded(found)))
        pointer, found = _encoded(found), places.ZONE[found]
    for text in found or ():
        address = ipaddress.ip_address(text)
        if kind == (_A if address.version == 4 else _AAAA):
            records.append(_record(pointer, kind, address.packed))
    flags = _RESPONSE | _AUTHORITATIVE | (_NO_SUCH_NAME if found is None else 0)
    header = struct.pack("!6H", identity, flags, 1, len(records), 0, 0)
    return header + question + b"".join(records), name, kind


def _encoded(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def _record(name: bytes, kind: int, data: bytes) -> bytes:
    return name + struct.pack("!2HIH", kind, _IN, 0, len(data)) + data


def servers(address: str, note: Callable[..., None]) -> list[socketserver.BaseServer]:
    """The two servers at ``address``, bound and not running yet."""

    class Datagram(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            query, end = self.request
            reply, name, kind = answer(query)
            note("dns", name=name, type=kind, at=address)
            end.sendto(reply, self.client_address)

    class Stream(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            (size,) = struct.unpack("!H", self.request.recv(2, socket.MSG_WAITALL))
            reply, name, kind = answer(self.request.recv(size, socket.MSG_WAITALL))
            note("dns", name=name, type=kind, at=address)
            self.request.sendall(struct.pack("!H", len(reply)) + reply)

    class Datagrams(socketserver.ThreadingUDPServer):
        daemon_threads = True

    class Streams(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    made: list[Any] = [Datagrams((address, 53), Datagram), Streams((address, 53), Stream)]
    return made
