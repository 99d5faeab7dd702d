"""Whom a registry may make us connect to: where it is itself, and what is public.

A registry that was taken over, or a network on the way to one, could otherwise use this machine to reach its
own services, its neighbours or its cloud's metadata service (server-side request forgery, CWE-918). Where
the user's own registry is, the user has chosen, so that is never questioned.
"""

import socket
from collections.abc import Callable
from contextlib import suppress

from mcp_client.network.addresses import Address, Network, from_packed, parse_address, parse_network
from mcp_client.network.closed import meanings, why_closed

_LOOPBACK = (parse_network("127.0.0.0/8"), parse_network("::1"))
# To connect to one of these is to connect to this machine (ip(7)).
_UNSPECIFIED = (parse_network("0.0.0.0/8"), parse_network("::"))
_PRIVATE = tuple(
    parse_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "198.18.0.0/15",
        "fc00::/7",
        "fec0::/10",
        "64:ff9b:1::/48",
    )
)


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine by its name or its address; nothing is looked up."""
    address = parse_address(host)
    return host == "localhost" if address is None else _within(address, _LOOPBACK)


def look_up(host: str) -> list[Address]:
    """The addresses of a name or of an address in text, in the order to try them.

    Raises OSError, or UnicodeError for a name that no resolver takes.
    """
    address = parse_address(host)
    if address is not None:
        return [address]
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    packed = [
        socket.inet_pton(family, str(place[0]).partition("%")[0])
        for family, _, _, _, place in found
        if family in {socket.AF_INET, socket.AF_INET6}
    ]
    return list(dict.fromkeys(map(from_packed, packed)))


def why_out_of_reach(address: Address, *, encrypted: bool, home: Callable[[], list[Address]]) -> str | None:
    """Why a registry at the addresses of ``home`` must not lead to ``address``; None when it may.

    Public addresses are open. This machine is for registries on it. Private networks are for registries in
    one, and for everybody when the connection is ``encrypted``: what has no certificate for its name there
    gets no request. Whatever else is not public, metadata services above all, only a registry at that very
    address may name.
    """
    kind = why_closed(address)
    if kind is None:
        return None
    own = _known(home)
    if address in own:
        return None
    if _within(address, _LOOPBACK + _UNSPECIFIED):
        return None if own and all(_within(one, _LOOPBACK) for one in own) else "this machine"
    if why_closed(address, _private_network(address)) is None:
        inside = bool(own) and all(why_closed(one) is not None for one in own)
        return None if encrypted or inside else kind
    return kind


def _known(home: Callable[[], list[Address]]) -> list[Address]:
    """Nothing when it cannot be looked up, as behind a proxy: then it counts as public."""
    with suppress(OSError, UnicodeError):
        return home()
    return []


def _private_network(address: Address) -> Network | None:
    """The private network that ``address`` lies in; narrower ranges in it stay what they are."""
    return next((network for network in _PRIVATE if network.holds(address)), None)


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(network.holds(meaning) for meaning in meanings(address) for network in networks)
