"""This machine's own addresses stay closed, however they are spelled: its services never notice."""

import socket
from ipaddress import ip_network
from typing import NamedTuple

import pytest
from egress.services import (
    CONTROL,
    HANG_SECONDS,
    WORD,
    Said,
    Service,
    connect_inside,
    connect_outside,
    own_addresses,
)
from egress.services import service as one_more

# What the C library and the kernel take for this machine (inet_aton(3), ip(7), ipv6(7)).
LOOPBACK = (
    *("127.0.0.1", "127.1", "127.0.1", "0x7f.1", "0x7f000001", "0177.0.0.1", "017700000001", "2130706433"),
    *("127.0.0.2", "127.255.255.254", "127.000.000.001", "0.0.0.0", "0", "0x0", "localhost"),
)
LOOPBACK_V6 = (
    *("::1", "0:0:0:0:0:0:0:1", "::", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:127.0.0.2"),
    *("0:0:0:0:0:ffff:127.0.0.1", "::ffff:0.0.0.0"),
)
LAN = own_addresses()
MAPPED = tuple(f"::ffff:{address}" for address in LAN if "." in address)
V6 = (*LOOPBACK_V6, *MAPPED) if socket.has_dualstack_ipv6() else ()
SPELLINGS = (*LOOPBACK, *LAN, *V6)


class Tried(NamedTuple):
    """The same attempts in a sandbox and without one, and where the service was reached from the sandbox."""

    inside: Said
    outside: Said
    controls: Said
    arrivals: list[str]
    port: int


@pytest.fixture(scope="module")
def tried(service: Service) -> Tried:
    """127.0.0.1 is open at one port, the attacks are on another one."""
    with one_more() as victim:
        targets = [(host, victim.port) for host in SPELLINGS]
        inside = connect_inside(targets, service.outside())
        arrivals = list(victim.arrivals)
        controls = connect_inside([(CONTROL, service.port)], service.outside())
        return Tried(inside, connect_outside(targets), controls, arrivals, victim.port)


@pytest.mark.parametrize("host", SPELLINGS)
def test_a_port_that_is_not_open_is_refused(host: str, tried: Tried) -> None:
    said = tried.inside[host, tried.port]
    assert said in {"ECONNREFUSED", "ENETUNREACH", "EADDRNOTAVAIL", "gaierror"}
    assert tried.outside[host, tried.port] == WORD


def test_the_service_noticed_none_of_them(tried: Tried) -> None:
    assert tried.arrivals == []
    assert tried.controls == {(CONTROL, port): WORD for _, port in tried.controls}
    assert tried.inside.slowest < HANG_SECONDS


@pytest.mark.parametrize("address", LAN)
def test_the_machines_own_address_takes_a_rule_for_exactly_that(address: str, victim: Service) -> None:
    target = (address, victim.port)
    network = str(ip_network(f"{address}/{24 if '.' in address else 64}", strict=False))
    assert connect_inside([target], victim.outside(victim.rule(network)))[target] == "ECONNREFUSED"
    assert victim.arrivals == []
    assert connect_inside([target], victim.outside(victim.rule(address)))[target] == WORD


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "::ffff:127.0.0.1"])
def test_a_spelling_of_an_open_address_is_that_address(host: str, victim: Service) -> None:
    target = (host, victim.port)
    assert connect_inside([target], victim.outside())[target] == WORD
    denied = victim.outside(deny=[victim.rule("127.0.0.1")])
    assert connect_inside([target], denied)[target] == "ECONNREFUSED"
    assert victim.arrivals == ["127.0.0.1"]
