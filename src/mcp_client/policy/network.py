"""Which hosts are open: what the manifest asks for, within what the operator allows, plus grants."""

from __future__ import annotations

from mcp_client.errors import MCPError, printable
from mcp_client.light import TYPE_CHECKING
from mcp_client.network.combine import meet, meet_all, within
from mcp_client.network.rules import FORM, Rule, parse_rule, parse_rules
from mcp_client.policy.model import NetworkPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mcp_client.config.settings import PolicySettings


def decide_network(
    asked: Iterable[str], granted: Iterable[str], operator: PolicySettings
) -> tuple[NetworkPolicy, tuple[str, ...]]:
    """The effective rules, and the manifest's entries of which nothing is open.

    A manifest's word alone opens no closed address (a private network, this machine): the operator's list
    or a grant has to name it too. Grants stand above the operator's list, but neither above a denial nor
    above the list of the machine's policy file. Raises ``network-refused`` for a grant that opens nothing.
    """
    wishes = tuple(parse_rule(text) for text in asked)
    denied = parse_rules(operator.network_deny)
    bound = None if operator.network_bound is None else parse_rules(operator.network_bound)
    allowed = meet_all(wishes, parse_rules(operator.network_allow))
    if bound is not None:
        allowed = meet_all(allowed, bound)
    allowed = tuple(rule for rule in allowed if not _denied(rule, denied))
    grants = [rule for text in granted for rule in _grant(text, denied, bound)]
    allow = tuple(dict.fromkeys([*allowed, *grants]))
    given = set(allow)
    closed = [
        str(wish) for wish in wishes if wish not in given and not any(meet(wish, rule) for rule in allow)
    ]
    return NetworkPolicy(allow, denied, bound), tuple(closed)


def _grant(text: str, denied: Sequence[Rule], bound: Sequence[Rule] | None) -> tuple[Rule, ...]:
    shown = f"--allow-net {printable(text, 80)}"
    try:
        rule = parse_rule(text)
    except ValueError as error:
        wrong = str(error).partition("; ")[2]
        raise MCPError("network-refused", f"{shown}: {wrong}", hint=f"write {FORM}") from None
    denial = _denied(rule, denied)
    if denial:
        raise MCPError(
            "network-refused",
            f"{shown}: the operator's policy denies {denial}",
            hint="leave it out, or ask whoever owns policy.network.deny",
        )
    found = (rule,) if bound is None else meet_all((rule,), bound)
    if not found:
        raise MCPError(
            "network-refused",
            f"{shown}: this machine's policy file keeps that closed",
            hint="leave it out, or ask whoever owns policy.network.allow in that file",
        )
    return found


def _denied(rule: Rule, denied: Iterable[Rule]) -> Rule | None:
    """The denial that leaves nothing of ``rule``."""
    return next((denial for denial in denied if within(rule, denial)), None)
