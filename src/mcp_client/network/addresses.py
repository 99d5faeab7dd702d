"""IP addresses and networks as numbers, from strict text.

``ipaddress`` would cost a warm start 6 ms. Only one spelling of IPv4 is read, four decimal numbers: C
libraries also read ``127.1``, ``0x7f.1`` and ``017700000001`` (inet_aton(3)), and whoever compares such
text with a list compares another address than the one that is dialled.
"""

from __future__ import annotations

import _socket

from mcp_client.light import NamedTuple

V4_BITS = 32
V6_BITS = 128
_V4_PARTS = 4
_LARGEST_PART = 255
_LONGEST = 45
_CHARACTERS = frozenset("0123456789abcdefABCDEF:.")


class Address(NamedTuple):
    """An address of 32 or 128 ``bits``. IPv4 inside ``::ffff:0:0/96`` is IPv4 (RFC 4291, 2.5.5.2)."""

    bits: int
    number: int

    @property
    def packed(self) -> bytes:
        """4 or 16 bytes in network order."""
        return self.number.to_bytes(self.bits // 8, "big")

    def __str__(self) -> str:
        if self.bits == V4_BITS:
            return ".".join(map(str, self.packed))
        return _socket.inet_ntop(_socket.AF_INET6, self.packed)


class Network(NamedTuple):
    """All addresses of ``bits`` bits that share the first ``prefix`` of them; a single one has them all."""

    bits: int
    number: int
    prefix: int

    @property
    def single(self) -> bool:
        """Whether this is one address."""
        return self.prefix == self.bits

    def holds(self, address: Address) -> bool:
        """Whether ``address`` lies in this network."""
        return address.bits == self.bits and not (address.number ^ self.number) >> (self.bits - self.prefix)

    def within(self, other: Network) -> bool:
        """Whether every address of this network is one of ``other``."""
        return self.prefix >= other.prefix and other.holds(Address(self.bits, self.number))

    def __str__(self) -> str:
        shown = str(Address(self.bits, self.number))
        return shown if self.single else f"{shown}/{self.prefix}"


V4_MAPPED = Network(V6_BITS, 0xFFFF << 32, 96)


def from_packed(packed: bytes) -> Address:
    """The address of 4 or 16 bytes in network order; IPv4 in its IPv6 form becomes IPv4."""
    address = Address(len(packed) * 8, int.from_bytes(packed, "big"))
    return Address(V4_BITS, address.number & 0xFFFF_FFFF) if V4_MAPPED.holds(address) else address


def parse_address(text: str) -> Address | None:
    """The address ``text`` spells; ``None`` when it is none, or one in a spelling that means trouble.

    Not read: zone identifiers, leading zeros, fewer than four numbers, other bases, surrounding blanks.
    """
    if len(text) > _LONGEST or not _CHARACTERS.issuperset(text):
        return None
    if ":" not in text:
        return _v4(text)
    try:
        return from_packed(_socket.inet_pton(_socket.AF_INET6, text))
    except OSError:
        return None


def parse_network(text: str) -> Network:
    """An address, or ``ADDRESS/PREFIX`` without host bits. Raises ``ValueError`` with what is wrong."""
    written, slash, length = text.partition("/")
    address = parse_address(written)
    if address is None:
        if "%" in written:
            raise ValueError("a zone identifier has no meaning here")
        raise ValueError("this is no address (IPv4 is four decimal numbers)")
    if address.bits == V4_BITS and ":" in written:
        raise ValueError(f"this is IPv4, to be written as such: {address}")
    if not slash:
        return Network(address.bits, address.number, address.bits)
    if not _is_decimal(length) or int(length) > address.bits:
        raise ValueError(f"a prefix is 0 to {address.bits}")
    network = network_of(address, int(length))
    if network.number != address.number:
        raise ValueError(f"this has host bits set (the network is {network})")
    return network


def network_of(address: Address, prefix: int) -> Network:
    """The network of this ``prefix`` in which ``address`` lies."""
    shift = address.bits - prefix
    return Network(address.bits, address.number >> shift << shift, prefix)


def _v4(text: str) -> Address | None:
    parts = text.split(".")
    if len(parts) != _V4_PARTS or not all(_is_decimal(part) for part in parts):
        return None
    numbers = [int(part) for part in parts]
    return Address(V4_BITS, int.from_bytes(bytes(numbers), "big")) if max(numbers) <= _LARGEST_PART else None


def _is_decimal(text: str) -> bool:
    """At most three ASCII digits without a leading zero, which some read as octal."""
    return text.isascii() and text.isdigit() and len(text) <= len("128") and text == str(int(text))
