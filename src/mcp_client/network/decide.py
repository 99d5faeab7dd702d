"""The decision about one connection: by the name it was asked for, and by the address it would go to."""

from __future__ import annotations

from mcp_client.light import TYPE_CHECKING, NamedTuple
from mcp_client.network.addresses import Address, network_of
from mcp_client.network.closed import meanings, why_closed
from mcp_client.network.combine import meet
from mcp_client.network.rules import Rule, normal_name

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

_MAX_PORT = 65_535


class Verdict(NamedTuple):
    """Whether a connection is allowed, by which rule, and otherwise why not.

    ``grant`` is the option of ``mcp run`` that would allow it, ``None`` where none would.
    """

    allowed: bool
    rule: Rule | None = None
    reason: str = ""
    grant: str | None = None


class RuleSet:
    """The effective rules of one run. A denial wins over everything.

    Of several rules that allow a destination the narrowest one holds: a host before the names below another,
    one port before every port, and then one that asks for TLS.
    """

    def __init__(
        self,
        allow: Iterable[Rule],
        deny: Iterable[Rule] = (),
        *,
        bound: Iterable[Rule] | None = None,
        own: Container[Address] = frozenset(),
    ) -> None:
        """``bound`` is what grants must keep to, ``own`` are the addresses of this machine."""
        self._allow = _Index(allow)
        self._deny = _Index(deny)
        self._bound = None if bound is None else tuple(bound)
        self._own = own

    def name_allowed(self, name: str) -> bool:
        """Whether some port of ``name`` is allowed, so that its name may be answered for."""
        try:
            name = normal_name(name)
        except ValueError:
            return False
        denials = tuple(self._deny.of_name(name))
        # A denial without a port covers whatever it is compared with, port 0 ("every port") included.
        return any(
            not any(not denial.port or denial.port == rule.port for denial in denials)
            for rule in self._allow.of_name(name)
        )

    def decide(self, destination: str | Address, port: int) -> Verdict:
        """The verdict on a connection to a name or an address, as the server asked for it.

        The addresses of an allowed name are still to be checked, by :meth:`check_address`.
        """
        if not 0 < port <= _MAX_PORT:
            return Verdict(False, reason="there is no such port")
        if isinstance(destination, Address):
            return self._decide_address(destination, port)
        try:
            name = normal_name(destination)
        except ValueError:
            return Verdict(False, reason="this is no host name")
        denial = _first(self._deny.of_name(name), port)
        if denial:
            return _denied(denial)
        rule = _first(self._allow.of_name(name), port)
        if rule:
            return Verdict(True, rule)
        return self._ungranted(Rule(name, port=port), "no rule allows it")

    def check_address(self, address: Address, port: int) -> Verdict:
        """The verdict on an address that an allowed name has now.

        What is open to everybody is open to a name; a closed address needs a rule of its own as well.
        """
        denial = self._denial(address, port)
        if denial:
            return _denied(denial)
        if why_closed(address, None, self._own) is None:
            return Verdict(True)
        return self._decide_address(address, port)

    def _decide_address(self, address: Address, port: int) -> Verdict:
        denial = self._denial(address, port)
        if denial:
            return _denied(denial)
        rule = _first(self._allow.of_address(address), port)
        kind = why_closed(address, rule and rule.network, self._own)
        if rule and kind is None:
            return Verdict(True, rule)
        exact = Rule(network=network_of(address, address.bits), port=port)
        return self._ungranted(exact, f"{address} is closed ({kind})" if kind else "no rule allows it")

    def _denial(self, address: Address, port: int) -> Rule | None:
        for meaning in meanings(address):
            found = _first(self._deny.of_address(meaning), port)
            if found:
                return found
        return None

    def _ungranted(self, wish: Rule, reason: str) -> Verdict:
        possible = self._bound is None or any(meet(wish, rule) for rule in self._bound)
        if wish.network:
            single = Address(wish.network.bits, wish.network.number)
            possible = possible and why_closed(single, wish.network, self._own) is None
        return Verdict(False, reason=reason, grant=f"--allow-net {wish}" if possible else None)


class _Index:
    """Rules by what they are about, each list from the narrowest to the widest."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._names: dict[str, list[Rule]] = {}
        self._networks: list[Rule] = []
        self._rest: list[Rule] = []
        for rule in sorted(rules, key=lambda rule: (not rule.port, not rule.tls)):
            if rule.name:
                self._names.setdefault(rule.name, []).append(rule)
            elif rule.network:
                self._networks.append(rule)
            else:
                self._rest.append(rule)
        self._networks.sort(key=lambda rule: -rule.network.prefix if rule.network else 0)

    def of_name(self, name: str) -> Iterator[Rule]:
        yield from self._names.get(name, ())
        _, dot, above = name.partition(".")
        while dot:
            yield from self._names.get(f"*.{above}", ())
            _, dot, above = above.partition(".")
        yield from self._rest

    def of_address(self, address: Address) -> Iterator[Rule]:
        yield from (rule for rule in self._networks if rule.network and rule.network.holds(address))
        yield from self._rest


def _first(rules: Iterator[Rule], port: int) -> Rule | None:
    return next((rule for rule in rules if rule.covers_port(port)), None)


def _denied(rule: Rule) -> Verdict:
    return Verdict(False, reason=f"the operator's policy denies {rule}")
