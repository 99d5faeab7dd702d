"""Addresses that a name must not lead to, and a wide network does not open.

A hostile server may own a name and let it point to this machine, its neighbours or its cloud's metadata
service. The tables follow IANA's registries of special-purpose addresses (RFC 6890), and the metadata
addresses that clouds document.
"""

from __future__ import annotations

from mcp_client.light import TYPE_CHECKING, NamedTuple
from mcp_client.network.addresses import (
    V4_BITS,
    V6_BITS,
    Address,
    network_of,
    parse_network,
)

if TYPE_CHECKING:
    from collections.abc import Container

    from mcp_client.network.addresses import (
        Network,
    )

# Inside the sandbox these stand for names, so they lead nowhere else. By their numbers they are public: some
# servers refuse to fetch from what is not, against pages that send them to an internal service. By their
# owners they serve nobody: a network of an army's that offers nothing to the public, and a part of 2000::/3
# that IANA has given to no registry.
POOL_V4 = parse_network("55.198.0.0/16")
POOL_V6 = parse_network("2e00::/64")


class Range(NamedTuple):
    """A closed network and what its addresses are; no rule opens one that is ``never`` to be reached."""

    network: Network
    kind: str
    never: bool = False


_METADATA = "a cloud's metadata service"
_LOOPBACK = "this machine itself"
_LINK_LOCAL = "link-local"
_PRIVATE = "a private network"
_MULTICAST = "multicast"
_RESERVED = "reserved"
_EXAMPLE = "reserved for documents"
_UNSPECIFIED = "no destination"
_POOL = "used inside the sandbox"

# The first range that matches names the reason, so the narrower ones stand first.
_TABLE: tuple[tuple[str, str, bool], ...] = (
    ("169.254.169.0/24", _METADATA, False),  # nearly every cloud: .254 metadata, .253 name service, .123 time
    ("169.254.170.0/24", _METADATA, False),  # credentials of AWS containers
    ("169.254.42.42", _METADATA, False),  # Scaleway
    ("100.100.100.200", _METADATA, False),  # Alibaba
    ("192.0.0.192", _METADATA, False),  # Oracle
    ("168.63.129.16", _METADATA, False),  # Azure, a public address
    ("fd00:ec2::/32", _METADATA, False),  # AWS
    ("fd20:ce::254", _METADATA, False),  # Google
    ("fd00:42::42", _METADATA, False),  # Scaleway
    ("fd00:c1::/32", _METADATA, False),  # Oracle
    ("255.255.255.255", "broadcast", True),
    ("0.0.0.0/8", _UNSPECIFIED, True),
    ("127.0.0.0/8", _LOOPBACK, False),
    ("10.0.0.0/8", _PRIVATE, False),
    ("172.16.0.0/12", _PRIVATE, False),
    ("192.168.0.0/16", _PRIVATE, False),
    ("100.64.0.0/10", "shared by customers of a provider", False),  # RFC 6598
    ("169.254.0.0/16", _LINK_LOCAL, False),
    (str(POOL_V4), _POOL, True),
    ("198.18.0.0/15", "for measurements", False),  # RFC 2544
    ("224.0.0.0/4", _MULTICAST, True),
    ("240.0.0.0/4", _RESERVED, False),
    ("192.0.0.0/24", _RESERVED, False),
    ("192.88.99.0/24", _RESERVED, False),  # relays of 6to4, RFC 7526
    ("192.0.2.0/24", _EXAMPLE, False),
    ("198.51.100.0/24", _EXAMPLE, False),
    ("203.0.113.0/24", _EXAMPLE, False),
    ("::", _UNSPECIFIED, True),
    ("::1", _LOOPBACK, False),
    (str(POOL_V6), _POOL, True),
    ("64:ff9b:1::/48", "an address translator's private network", False),  # RFC 8215
    ("fc00::/7", _PRIVATE, False),
    ("fec0::/10", _PRIVATE, False),  # site-local, RFC 3879
    ("fe80::/10", _LINK_LOCAL, False),
    ("ff00::/8", _MULTICAST, True),
    ("2001:db8::/32", _EXAMPLE, False),
    ("3fff::/20", _EXAMPLE, False),  # RFC 9637
    ("2001::/32", "a Teredo tunnel", False),
    ("2001::/23", _RESERVED, False),
    ("2002::/16", "a 6to4 tunnel", False),
    # What is no global unicast (2000::/3); translated IPv4 never comes here as IPv6.
    ("::/3", _RESERVED, False),
    ("4000::/2", _RESERVED, False),
    ("8000::/1", _RESERVED, False),
)
_RANGES = tuple(Range(parse_network(text), kind, never) for text, kind, never in _TABLE)
_V4_RANGES = tuple(entry for entry in _RANGES if entry.network.bits == V4_BITS)
_V6_RANGES = tuple(entry for entry in _RANGES if entry.network.bits == V6_BITS)

_NAT64 = parse_network("64:ff9b::/96")
_COMPATIBLE = parse_network("::/96")
_TEREDO = parse_network("2001::/32")
_6TO4 = parse_network("2002::/16")
_LOW_32 = 0xFFFF_FFFF


def meanings(address: Address) -> tuple[Address, ...]:
    """The addresses a packet to ``address`` can end at: itself, and the IPv4 addresses it embeds.

    RFC 6052 (NAT64, which stands for the IPv4 address alone), RFC 3056 (6to4), RFC 4380 (Teredo, server and
    client) and the IPv4-compatible form of RFC 4291.
    """
    if address.bits == V4_BITS:
        return (address,)
    number = address.number
    last = Address(V4_BITS, number & _LOW_32)
    if _NAT64.holds(address):
        return (last,)
    if _COMPATIBLE.holds(address) and number > 1:
        return (address, last)
    if _6TO4.holds(address):
        return (address, Address(V4_BITS, number >> 80 & _LOW_32))
    if _TEREDO.holds(address):
        client = Address(V4_BITS, last.number ^ _LOW_32)
        return (address, Address(V4_BITS, number >> 64 & _LOW_32), client)
    return (address,)


def why_closed(
    address: Address, opened: Network | None = None, own: Container[Address] = frozenset()
) -> str | None:
    """What makes ``address`` closed, in a few words, or ``None`` when it may be dialled.

    ``opened`` is the network of the rule that leads here, ``None`` for a name. It opens a closed range only
    when it lies within it: ``10.0.0.0/8`` says that it means a private network, ``0.0.0.0/0`` does not.
    ``own`` are this machine's addresses, which take a rule for exactly that address.
    """
    for meaning in meanings(address):
        for entry in _V4_RANGES if meaning.bits == V4_BITS else _V6_RANGES:
            network, kind, never = entry
            if network.holds(meaning) and (never or opened is None or not opened.within(network)):
                return kind
        if meaning in own and opened != network_of(meaning, meaning.bits):
            return _LOOPBACK
    return None


def closed_ranges(network: Network) -> tuple[Range, ...]:
    """The closed ranges in which the whole of ``network`` lies."""
    ranges = _V4_RANGES if network.bits == V4_BITS else _V6_RANGES
    return tuple(entry for entry in ranges if network.within(entry.network))
