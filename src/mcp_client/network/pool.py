"""Synthetic addresses: inside the sandbox each allowed name has one of its own, IPv4 and IPv6.

The address is how a connection says which name it is for, so none stands for a second name in the same run.
"""

from __future__ import annotations

from mcp_client.light import NamedTuple
from mcp_client.network.addresses import V4_BITS, V6_BITS, Address
from mcp_client.network.closed import POOL_V4, POOL_V6

# A rule with a wildcard covers more names than anybody needs at a time.
MOST_NAMES = 16_384
_FIRST = 256


class Pair(NamedTuple):
    """The two addresses of one name."""

    v4: Address
    v6: Address


def _pair(index: int) -> Pair:
    return Pair(Address(V4_BITS, POOL_V4.number + index), Address(V6_BITS, POOL_V6.number + index))


# Where the name service listens inside.
NAME_SERVICE = _pair(1)


def in_pool(address: Address) -> bool:
    """Whether ``address`` only has a meaning inside the sandbox."""
    return POOL_V4.holds(address) or POOL_V6.holds(address)


class Pool:
    """The names of one run, in the order in which they were first asked for."""

    def __init__(self) -> None:
        """Empty."""
        self._pairs: dict[str, Pair] = {}
        self._names: dict[Address, str] = {}

    def addresses_of(self, name: str) -> Pair | None:
        """The addresses of ``name``, new ones at the first time; ``None`` when there are no more."""
        pair = self._pairs.get(name)
        if pair is None:
            if len(self._pairs) >= MOST_NAMES:
                return None
            pair = _pair(_FIRST + len(self._pairs))
            self._pairs[name] = pair
            self._names.update(dict.fromkeys(pair, name))
        return pair

    def name_of(self, address: Address) -> str | None:
        """The name that ``address`` was given for; ``None`` when nobody ever asked for one."""
        return self._names.get(address)
