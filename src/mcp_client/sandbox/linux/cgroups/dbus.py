"""As much of D-Bus as it takes to call one method (D-Bus specification 0.43).

One connection, one call at a time, little endian. A library would cost a start more than the sandbox does.
"""

from __future__ import annotations

import _socket
import os
import struct
import time

from mcp_client.light import NamedTuple

_METHOD_CALL, _METHOD_RETURN, _ERROR = 1, 2, 3
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_SERIAL, _DESTINATION, _SIGNATURE = 1, 2, 3, 4, 5, 6, 8
# Byte order, type, flags, version, length of the body, serial, length of the fields.
_HEAD = struct.Struct("<cBBBIII")
_CREDENTIALS = struct.Struct("=iII")
_SO_PEERCRED = 17
_LARGEST = 1 << 20
_LONGEST_LINE = 4096

Value = str | bool | int | list[int] | list[str]


class Variant(NamedTuple):
    """A value and its type: ``s`` text, ``b`` truth, ``t`` 64 bits, ``au`` 32-bit numbers, ``as`` texts."""

    signature: str
    value: Value


class Call(NamedTuple):
    """A method call; ``body`` was made by a Writer and has ``signature``."""

    destination: str
    path: str
    interface: str
    member: str
    signature: str
    body: bytes


class Writer:
    """Marshals values, each aligned from the beginning of the data."""

    def __init__(self) -> None:
        """Nothing written yet."""
        self.data = bytearray()

    def align(self, size: int) -> None:
        """Pad with zeros."""
        self.data += bytes(-len(self.data) % size)

    def uint32(self, value: int) -> None:
        """Type ``u``; also ``b``."""
        self.align(4)
        self.data += struct.pack("<I", value)

    def text(self, text: str) -> None:
        """Types ``s`` and ``o``."""
        encoded = text.encode()
        self.uint32(len(encoded))
        self.data += encoded + b"\0"

    def signature(self, text: str) -> None:
        """Type ``g``."""
        self.data += bytes((len(text),)) + text.encode() + b"\0"

    def variant(self, variant: Variant) -> None:
        """Type ``v``."""
        self.signature(variant.signature)
        value = variant.value
        if isinstance(value, list):
            mark = self.begin_array(4)
            for item in value:
                self._single(variant.signature[1:], item)
            self.end_array(mark)
        else:
            self._single(variant.signature, value)

    def properties(self, properties: dict[str, Variant]) -> None:
        """Type ``a(sv)``."""
        mark = self.begin_array(8)
        for name, variant in properties.items():
            self.align(8)
            self.text(name)
            self.variant(variant)
        self.end_array(mark)

    def begin_array(self, alignment: int) -> tuple[int, int]:
        """Where its length stands, and where its first item begins: for end_array()."""
        self.uint32(0)
        at = len(self.data) - 4
        self.align(alignment)
        return at, len(self.data)

    def end_array(self, mark: tuple[int, int]) -> None:
        """Fill the length in."""
        at, start = mark
        struct.pack_into("<I", self.data, at, len(self.data) - start)

    def _single(self, signature: str, value: object) -> None:
        if signature == "t" and isinstance(value, int):
            self.align(8)
            self.data += struct.pack("<Q", value)
        elif signature in {"u", "b"} and isinstance(value, int):
            self.uint32(value)
        elif isinstance(value, str):
            self.text(value)
        else:
            raise TypeError(signature)


class Connection:
    """A bus, or the private socket of a daemon; every answer is bounded, and so is the wait for it.

    Raises OSError for whatever goes wrong, the other side's refusals included.
    """

    def __init__(self, path: str, *, bus: bool, seconds: float) -> None:
        """Connect as this user; ``bus`` asks for a name of our own, as a bus demands.

        No answer is waited for: the other side keeps what follows until it has read what came before.
        """
        self.deadline = time.monotonic() + seconds
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self._serial = 0
        self._data = b""
        self._accepted = False
        try:
            self._socket.settimeout(seconds)
            self._socket.connect(path)
            self._check_peer()
            identity = str(os.geteuid()).encode().hex()
            self._socket.sendall(b"\0AUTH EXTERNAL " + identity.encode() + b"\r\nBEGIN\r\n")
            if bus:
                self.send(_HELLO)
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def send(self, call: Call) -> int:
        """Send without waiting; the serial that finish() waits for."""
        self._serial += 1
        fields = Writer()
        # The fields are part of the header and aligned with it.
        fields.data += bytes(_HEAD.size)
        for code, kind, value in (
            (_PATH, "o", call.path),
            (_INTERFACE, "s", call.interface),
            (_MEMBER, "s", call.member),
            (_DESTINATION, "s", call.destination),
            (_SIGNATURE, "g", call.signature),
        ):
            if value:
                fields.align(8)
                fields.data += bytes((code,))
                fields.signature(kind)
                fields.signature(value) if kind == "g" else fields.text(value)
        length = len(fields.data) - _HEAD.size
        fields.align(8)
        _HEAD.pack_into(fields.data, 0, b"l", _METHOD_CALL, 0, 1, len(call.body), self._serial, length)
        self._socket.sendall(bytes(fields.data) + call.body)
        return self._serial

    def finish(self, serial: int) -> None:
        """Wait for the answer to a call; signals and other messages are passed over."""
        if not self._accepted:
            self._await_acceptance()
        while True:
            kind, reply_to, error = self._receive()
            if reply_to == serial and kind == _METHOD_RETURN:
                return
            if reply_to == serial and kind == _ERROR:
                raise PermissionError(0, error or "refused", "D-Bus")

    def _check_peer(self) -> None:
        data = self._socket.getsockopt(_socket.SOL_SOCKET, _SO_PEERCRED, _CREDENTIALS.size)
        _, uid, _ = _CREDENTIALS.unpack(data)
        if uid not in {0, os.geteuid()}:
            raise PermissionError(0, f"it belongs to user {uid}", "D-Bus")

    def _await_acceptance(self) -> None:
        while b"\r\n" not in self._data:
            if len(self._data) > _LONGEST_LINE:
                raise OSError(0, "no end of the answer", "D-Bus")
            self._more()
        line, _, self._data = self._data.partition(b"\r\n")
        if not line.startswith(b"OK "):
            raise PermissionError(0, "it does not accept this user", "D-Bus")
        self._accepted = True

    def _receive(self) -> tuple[int, int, str]:
        """The next message: its type, the serial it answers (0: none), the name of its error."""
        order, kind, _, _, body, _, fields = _HEAD.unpack(self._take(_HEAD.size))
        padded = fields + -(_HEAD.size + fields) % 8
        if order != b"l" or body + padded > _LARGEST:
            raise OSError(0, "not a message that was asked for", "D-Bus")
        reply_to, error = _read_fields(self._take(padded)[:fields])
        self._take(body)
        return kind, reply_to, error

    def _take(self, size: int) -> bytes:
        while len(self._data) < size:
            self._more()
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def _more(self) -> None:
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            # Whoever sends without end would otherwise keep us.
            raise TimeoutError(0, "no answer in time", "D-Bus")
        self._socket.settimeout(remaining)
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionResetError(0, "it hung up", "D-Bus")
        self._data += data


def _read_fields(data: bytes) -> tuple[int, str]:
    """REPLY_SERIAL and ERROR_NAME of a header's fields, a(yv) from an offset that is a multiple of 8."""
    reply_to, error, at = 0, "", 0
    try:
        while at < len(data):
            at += -at % 8
            code, kind = data[at], chr(data[at + 2])
            at += 4
            if kind == "u":
                at += -at % 4
                (number,) = struct.unpack_from("<I", data, at)
                at += 4
                reply_to = number if code == _REPLY_SERIAL else reply_to
            elif kind in {"s", "o"}:
                at += -at % 4
                (length,) = struct.unpack_from("<I", data, at)
                text = data[at + 4 : at + 4 + length]
                at += 4 + length + 1
                error = text.decode(errors="replace") if code == _ERROR_NAME else error
            elif kind == "g":
                at += 1 + data[at] + 1
            else:
                raise OSError(0, "a header that cannot be read", "D-Bus")
    except (IndexError, struct.error) as damage:
        raise OSError(0, "a header that cannot be read", "D-Bus") from damage
    return reply_to, error


_HELLO = Call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", "", b"")
