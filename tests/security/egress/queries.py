"""DNS messages as an attacker would make them."""

import struct

IDENTITY = 0x4D43
A, NS, NULL, PTR, MX, TXT, AAAA, SRV, IXFR, AXFR, ANY = 1, 2, 10, 12, 15, 16, 28, 33, 251, 252, 255
_RECURSION = 0x0100


def labels(name: str) -> bytes:
    """A name as a question has it."""
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def message(question: bytes, flags: int = _RECURSION, counts: tuple[int, ...] = (1, 0, 0, 0)) -> bytes:
    """A header and whatever follows it."""
    return struct.pack("!6H", IDENTITY, flags, *counts) + question


def ask(name: str, kind: int = A, space: int = 1) -> bytes:
    """An ordinary query."""
    return message(labels(name) + struct.pack("!HH", kind, space))


def raw(name: bytes, kind: int = A) -> bytes:
    """A query for a name that is not in order."""
    return message(name + struct.pack("!HH", kind, 1))


def extended(name: str, option: bytes) -> bytes:
    """A query with an EDNS record, whose data is ``option``."""
    record = b"\0" + struct.pack("!HHIH", 41, 4096, 0x8000, len(option)) + option
    return message(labels(name) + struct.pack("!HH", A, 1) + record, counts=(1, 0, 0, 1))
