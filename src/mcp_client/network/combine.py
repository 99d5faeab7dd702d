"""What several people's rules allow together.

A rule is a set of destinations. A network leaves out the closed ranges that it does not lie in (see
:mod:`mcp_client.network.closed`), so ``0.0.0.0/0`` and ``10.0.0.0/8`` have nothing in common.
"""

from __future__ import annotations

from mcp_client.light import TYPE_CHECKING
from mcp_client.network.closed import closed_ranges
from mcp_client.network.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mcp_client.network.addresses import Network


def meet(one: Rule, other: Rule) -> Rule | None:
    """The rule for what both allow; it asks for TLS when either does. ``None`` when there is nothing."""
    if one.port and other.port and one.port != other.port:
        return None
    port, tls = one.port or other.port, one.tls or other.tls
    if one.everything or other.everything:
        narrow = one if other.everything else other
        if narrow.network and closed_ranges(narrow.network):
            return None
    elif one.network and other.network:
        found = _common(one.network, other.network)
        if found is None:
            return None
        narrow = Rule(network=found)
    else:
        named = _narrower_name(one, other)
        if named is None:
            return None
        narrow = named
    return narrow._replace(port=port, tls=tls and bool(narrow.name))


def meet_all(asked: Iterable[Rule], allowed: Sequence[Rule]) -> tuple[Rule, ...]:
    """What both lists allow, each rule once, in the order of ``asked``."""
    found = (meet(one, other) for one in asked for other in allowed)
    return tuple(dict.fromkeys(rule for rule in found if rule is not None))


def within(rule: Rule, wide: Rule) -> bool:
    """Whether ``wide`` is about every destination of ``rule``. TLS and closed ranges play no part."""
    if not wide.covers_port(rule.port) or (wide.port and not rule.port):
        return False
    if wide.everything:
        return True
    if rule.network:
        return wide.network is not None and rule.network.within(wide.network)
    return bool(wide.name) and _narrower_name(rule, wide) == rule


def _common(one: Network, other: Network) -> Network | None:
    narrow, wide = (one, other) if one.within(other) else (other, one)
    if not narrow.within(wide):
        return None
    left_out = any(not wide.within(entry.network) for entry in closed_ranges(narrow))
    return None if left_out else narrow


def _narrower_name(one: Rule, other: Rule) -> Rule | None:
    """The one of two rules for names that lies in the other one."""
    if not one.name or not other.name:
        return None
    for narrow, wide in ((one, other), (other, one)):
        if narrow.name == wide.name or (wide.wildcard and narrow.name.endswith(wide.name[1:])):
            return narrow
    return None
