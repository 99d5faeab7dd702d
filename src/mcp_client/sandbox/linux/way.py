"""What leads out of a sandbox to where a server may connect; for servers that may connect at all."""

from __future__ import annotations

from mcp_client.light import TYPE_CHECKING
from mcp_client.network.addresses import V4_BITS, V6_BITS, Address, Network
from mcp_client.network.closed import POOL_V4, POOL_V6
from mcp_client.network.pool import NAME_SERVICE
from mcp_client.sandbox.spec import Way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_client.network.rules import Rule

_EVERYWHERE = (Network(V4_BITS, 0, 0), Network(V6_BITS, 0, 0))


def way_to(rules: Sequence[Rule]) -> Way:
    """What leads to the decision about a connection: names by their synthetic addresses, and networks."""
    networks = [rule.network for rule in rules if rule.network is not None]
    if any(rule.everything for rule in rules):
        networks += _EVERYWHERE
    led = dict.fromkeys((POOL_V4, POOL_V6, *networks))
    return Way(
        names=tuple(address.packed for address in NAME_SERVICE),
        networks=tuple((Address(net.bits, net.number).packed, net.prefix) for net in led),
    )
