"""Rows of the table: what decides about connections to hosts."""

from collections.abc import Callable, Iterator
from typing import Any

from mcp_client.network import decide, pool
from mcp_client.network.decide import RuleSet, Verdict
from mcp_client.network.engine import engine
from mcp_client.network.engine.room import Room
from mcp_client.network.linux import own
from mcp_client.network.pool import Pair
from mutation.patches import Patch, replaced, silenced

Row = tuple[str, str, Patch, str, str]

_FOLDER = "egress"


def rows() -> Iterator[Row]:
    """All of this module."""
    names, closed = f"{_FOLDER}/test_names.py", f"{_FOLDER}/test_closed.py"
    spellings, room = f"{_FOLDER}/test_spellings.py", f"{_FOLDER}/test_room.py"
    allowed = Verdict(True)
    yield "host-names", "names are answered by rules", silenced(RuleSet, "name_allowed", True), names, ""
    yield "host-decision", "connections are decided by rules", silenced(RuleSet, "decide", allowed), names, ""
    check = silenced(RuleSet, "check_address", allowed)
    yield "host-address", "an allowed name's address is checked", check, closed, ""
    yield "host-closed", "some addresses are closed", silenced(decide, "why_closed"), closed, ""
    yield "host-denials", "denied addresses", silenced(RuleSet, "_denial"), closed, "denial"
    mine = replaced(own.OwnAddresses, "__contains__", lambda _self, _address: False)
    yield "host-own", "this machine's addresses are closed", mine, spellings, ""
    yield "host-pool", "an address stands for one name", _one_pair(), names, "stands_for"
    yield "host-questions", "only allowed names are looked up outside", _asking_for_all(), names, "left"
    yield "host-most", "connections at a time are bounded", _boundless(), room, ""


def _one_pair() -> Patch:
    original = pool.Pool.addresses_of

    def addresses_of(self: pool.Pool, name: str) -> Pair | None:
        self._pairs.setdefault(name, pool._pair(pool._FIRST))
        self._names.update(dict.fromkeys(self._pairs[name], name))
        return original(self, name)

    return replaced(pool.Pool, "addresses_of", addresses_of)


def _asking_for_all() -> Patch:
    original: Callable[..., Any] = engine.Engine._look_up

    def look_up(self: engine.Engine, name: str) -> Pair | None:
        self._services.resolver.resolve(name, lambda _answer: None)
        return original(self, name)

    return replaced(engine.Engine, "_look_up", look_up)


def _boundless() -> Patch:
    return silenced(engine, "make_room", Room(1 << 20, 1 << 10, 1 << 10))
