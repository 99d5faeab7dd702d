"""The host name in the first message of a TLS connection (RFC 8446, 4.1.2; RFC 6066, 3). Pure."""

from __future__ import annotations

from mcp_client.light import NamedTuple

# Post-quantum key shares make 2 KB; nobody's needs more than this.
LONGEST_HELLO = 16 << 10
_HANDSHAKE, _CLIENT_HELLO = 22, 1
_RECORD_HEADER, _MESSAGE_HEADER = 5, 4
_VERSION_AND_RANDOM = 34
_SERVER_NAME, _ENCRYPTED_HELLO = 0, 0xFE0D
_HOST_NAME = 0


class Hello(NamedTuple):
    """What the bytes so far say: ``name`` is in lower case; ``wrong`` says why none can come.

    With neither, more bytes are needed.
    """

    name: str = ""
    wrong: str = ""


def read_hello(data: bytes) -> Hello:  # noqa: PLR0911  one for each thing that can be wrong
    """Read the start of a connection; a message may lie in several records, and arrive byte by byte."""
    message = bytearray()
    at = 0
    while len(message) < _MESSAGE_HEADER or len(message) < _MESSAGE_HEADER + _number(message, 1, 3):
        header = data[at : at + _RECORD_HEADER]
        if header and header[0] != _HANDSHAKE:
            return Hello(wrong="this is no TLS")
        if message and message[0] != _CLIENT_HELLO:
            return Hello(wrong="this is no TLS ClientHello")
        if len(message) > LONGEST_HELLO or at > LONGEST_HELLO:
            return Hello(wrong="the TLS ClientHello is too long")
        if len(header) < _RECORD_HEADER:
            return Hello()
        length = _number(header, 3, 2)
        if not length:
            return Hello(wrong="an empty TLS record")
        record = data[at + _RECORD_HEADER : at + _RECORD_HEADER + length]
        message += record
        if len(record) < length:
            # What is here of the record may already end the message.
            at = len(data)
        else:
            at += _RECORD_HEADER + length
    if message[0] != _CLIENT_HELLO:
        return Hello(wrong="this is no TLS ClientHello")
    try:
        return _read_extensions(bytes(message[_MESSAGE_HEADER : _MESSAGE_HEADER + _number(message, 1, 3)]))
    except IndexError:
        return Hello(wrong="a malformed TLS ClientHello")


def _read_extensions(body: bytes) -> Hello:
    """Raises IndexError where a length leads beyond the end."""
    at = _VERSION_AND_RANDOM
    for size in (1, 2, 1):  # session, cipher suites, compression methods
        at += size + _checked(body, at, size)
    if at == len(body):
        return Hello(wrong="the TLS ClientHello names no host")
    end = at + 2 + _checked(body, at, 2)
    at += 2
    name = b""
    while at < end:
        kind, length = _number(body, at, 2), _checked(body, at + 2, 2)
        extension = body[at + 4 : at + 4 + length]
        if kind == _ENCRYPTED_HELLO:
            return Hello(wrong="the TLS ClientHello hides its host name")
        if kind == _SERVER_NAME:
            if name:
                return Hello(wrong="the TLS ClientHello names two hosts")
            name = _host_name(extension)
        at += 4 + length
    shown = name.decode("ascii", "backslashreplace").lower()
    return Hello(shown) if shown else Hello(wrong="the TLS ClientHello names no host")


def _host_name(extension: bytes) -> bytes:
    """The only entry of the list, nothing when it is not the only one."""
    if len(extension) < _RECORD_HEADER or extension[2] != _HOST_NAME:
        return b""
    name = extension[_RECORD_HEADER:]
    return name if _number(extension, 3, 2) == len(name) == _number(extension, 0, 2) - 3 else b""


def _number(data: bytes | bytearray, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big")


def _checked(data: bytes, at: int, size: int) -> int:
    """The length at this place, which must fit into ``data``."""
    length = _number(data, at, size)
    if at + size + length > len(data):
        raise IndexError
    return length
