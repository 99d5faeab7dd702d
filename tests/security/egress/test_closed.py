"""Names and addresses that lead to this machine, its neighbours or its cloud; metadata above all.

In a network namespace where each of them is really there: a rule for exactly that address reaches it, so what
stops the others is the decision, not an address that nobody has.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from egress.services import WORD

REFUSALS = {"ECONNREFUSED", "ECONNRESET", "ENETUNREACH", "EPIPE", "end"}
WORLD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "world.py")

# What a look-up says -> where a connection to it arrives, when a rule for exactly that opens it.
CLOSED = (
    *("127.0.0.1", "127.8.9.10", "10.1.2.3", "172.16.5.4", "172.31.255.254", "192.168.7.7", "100.64.1.1"),
    *("169.254.9.9", "169.254.169.254", "169.254.170.2", "169.254.42.42", "100.100.100.200"),
    *("168.63.129.16", "192.0.0.192", "192.0.2.1", "198.51.100.7", "203.0.113.5", "192.88.99.1"),
    *("240.0.0.9", "::ffff:10.1.2.3", "::ffff:169.254.169.254", "::ffff:127.0.0.1"),
    *("::1", "fd00:ec2::254", "fd12::1", "fec0::1", "2001:db8::1", "64:ff9b:1::a01:203"),
    # Public ones, but this machine's own there.
    *("93.184.215.14", "2606:2800:21f:cb07::1"),
)
# Translated and tunnelled 127.0.0.1 and 169.254.169.254 (NAT64, 6to4, IPv4-compatible, Teredo), and what
# means nothing to anybody else; no rule opens these.
NEVER = (
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::1", "2002:a9fe:a9fe::1", "::7f00:1"),
    *(
        "2001:0:7f00:1::1",
        "2001:0:a00:1:0:0:80ff:fffe",
        "0.0.0.0",
        "::",
        "55.198.0.1",
        "55.198.1.0",
        "2e00::1",
    ),
)
OPEN = "10.77.0.1"
MIXED = {
    "the bad one first": ("169.254.169.254", OPEN),
    "the bad one last": (OPEN, "169.254.169.254"),
    "between bad ones": ("127.0.0.1", "::1", "fd00:ec2::254", OPEN, "0.0.0.0", "93.184.215.14"),
    "mapped": ("::ffff:127.0.0.1", f"::ffff:{OPEN}"),
}
WIDE = {
    "everything": ("0.0.0.0/0:PORT", "[::/0]:PORT"),
    "half of everything": ("128.0.0.0/1:PORT", "0.0.0.0/1:PORT"),
    "more than link-local": ("169.0.0.0/8:PORT",),
}
DENIED = {"10.1.2.3": "10.0.0.0/8:PORT", "::ffff:169.254.169.254": "169.254.169.254"}


def spelled(address: str) -> str:
    """A rule for that address and the service's port."""
    address = address.removeprefix("::ffff:")
    return f"[{address}]:PORT" if ":" in address else f"{address}:PORT"


def case(addresses: Sequence[str], allow: Sequence[str] = (), deny: Sequence[str] = ()) -> dict[str, Any]:
    """Each address is connected to by a name of its own, which is allowed, and as it is."""
    names = {f"{index}.test": [address] for index, address in enumerate(addresses)}
    return {
        "names": names,
        "targets": [*names, *addresses],
        "allow": ["*.test:PORT", *allow],
        "deny": list(deny),
    }


def mixed(addresses: Sequence[str]) -> dict[str, Any]:
    return {"names": {"0.test": addresses}, "targets": ["0.test"], "allow": ["*.test:PORT", spelled(OPEN)]}


CASES = {
    "by name": case((*CLOSED, *NEVER)),
    "with rules": case(CLOSED, [spelled(address) for address in CLOSED]),
    **{answer: mixed(addresses) for answer, addresses in MIXED.items()},
    **{rules: case(["169.254.169.254"], allow) for rules, allow in WIDE.items()},
    **{address: case([address], [spelled(address)], [rule]) for address, rule in DENIED.items()},
}

CameTo = Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def came_to() -> CameTo:
    """What each case came to; the cases share one world."""
    there = {"addresses": list({OPEN, *CLOSED, *NEVER}), "cases": list(CASES.values())}
    argv = [sys.executable, WORLD]
    done = subprocess.run(
        argv, input=json.dumps(there), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(CASES, json.loads(done.stdout), strict=True))


def both(case: Mapping[str, Any], address: str) -> set[str]:
    """What connecting by name and by address came to."""
    found = case["inside"]
    name = next(name for name, addresses in case["names"].items() if addresses == [address])
    return {found[name], found[address]}


@pytest.mark.parametrize("address", CLOSED)
def test_a_name_does_not_open_what_is_closed(address: str, came_to: CameTo) -> None:
    assert both(came_to["by name"], address) <= REFUSALS
    # The control: the same with a rule for that very address.
    assert both(came_to["with rules"], address) == {WORD}


def test_nobody_came(came_to: CameTo) -> None:
    assert came_to["by name"]["arrivals"] == []
    meant = sorted(address.removeprefix("::ffff:") for address in CLOSED)
    assert sorted(came_to["with rules"]["arrivals"]) == sorted(meant * 2)


@pytest.mark.parametrize("address", NEVER)
def test_no_translated_or_tunnelled_form_goes_around_that(address: str, came_to: CameTo) -> None:
    assert both(came_to["by name"], address) <= REFUSALS
    # The control: without a sandbox it leads to the service.
    assert came_to["by name"]["outside"][address] == WORD


@pytest.mark.parametrize("answer", MIXED)
def test_of_several_addresses_only_an_open_one_is_dialled(answer: str, came_to: CameTo) -> None:
    assert came_to[answer]["inside"] == {"0.test": WORD}
    assert came_to[answer]["arrivals"] == [OPEN]


@pytest.mark.parametrize("rules", WIDE)
def test_a_wide_rule_does_not_mean_metadata(rules: str, came_to: CameTo) -> None:
    assert both(came_to[rules], "169.254.169.254") <= REFUSALS
    assert came_to[rules]["arrivals"] == []


@pytest.mark.parametrize("address", DENIED)
def test_a_denial_stands_above_the_rule(address: str, came_to: CameTo) -> None:
    assert both(came_to[address], address) <= REFUSALS
    assert came_to[address]["arrivals"] == []
    assert all("the operator's policy denies" in line for line in came_to[address]["denials"])
    assert both(came_to["with rules"], address) == {WORD}
