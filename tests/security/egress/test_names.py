"""What is allowed is one name: not its neighbours, not what looks like it, not another port of it."""

from typing import NamedTuple

import pytest
from arena.sandbox import Outside
from egress.services import CONTROL, HANG_SECONDS, WORD, Said, Service, attack, connect_inside

ALLOWED = ("*.wild.test", "exact.test", "münchen.test", "xn--80ak6aa92e.com")
OPEN = (
    *("a.wild.test", "A.Wild.TEST", "a.wild.test.", "deep.er.wild.test", "exact.test", "EXACT.test."),
    *("xn--mnchen-3ya.test", "XN--80AK6AA92E.com"),
)
# Each of these is reached when a rule names it; the rules above do not.
LOOKALIKES = (
    "wild.test",  # the apex below which all is allowed
    *("evilwild.test", "evilexact.test", "evil-exact.test", "exact-evil.test", "sub.exact.test"),
    *("exact.test.evil.test", "wild.test.evil.test", "a.wild.test.evil.test", "exact.test.localdomain"),
    *("exact.tes", "xact.test", "exact.testt", "test", "exact", "exact_test", "exacttest"),
    *("munchen.test", "xn--mnchen-2ya.test", "xn--exact.test"),
    "apple.com",  # what the second allowed international name looks like
    *("localhost.localdomain", "ip6-localhost", "metadata.google.internal", "instance-data.ec2.internal"),
    *("127.0.0.1.nip.test", "127-0-0-1.local", "host.docker.internal"),
)
# These are no names of hosts, and no rule can be written for them.
MALFORMED = (
    *("exact.test..", ".exact.test", "a..wild.test", "*.wild.test", "wild.test.*", "exact.test:80"),
    *("exact.test/x", "exact.test@evil.test", "evil.test#exact.test", "exact.test\n", "exact test", "-"),
    *(
        "[127.0.0.1]",
        "\N{FULLWIDTH LATIN SMALL LETTER E}xact.test",
        "127.0.0.1.1",
    ),
    *("-.wild.test", "a-.wild.test", f"{'a' * 64}.wild.test", f"{'a.' * 130}wild.test", "%65xact.test"),
)


class Everything(dict[str, list[str]]):
    """A resolver of the host's that knows every name: whoever gets there ends at the service."""

    def __bool__(self) -> bool:
        return True

    def get(self, key: str, default: object = None) -> list[str]:  # type: ignore[override]
        return ["127.0.0.1"]


class Tried(NamedTuple):
    """The rules for a few names, and then a rule for each name."""

    inside: Said
    asked: list[str]
    granted: Said
    port: int


@pytest.fixture(scope="module")
def tried(service: Service) -> Tried:
    address = service.rule("127.0.0.1")
    few = Outside([address, *map(service.rule, ALLOWED)], names=Everything())
    names = [(name, service.port) for name in (*OPEN, *LOOKALIKES, *MALFORMED)]
    inside = connect_inside(names, few)
    every = Outside([address, *map(service.rule, LOOKALIKES)], names=Everything())
    granted = connect_inside([(name, service.port) for name in LOOKALIKES], every)
    return Tried(inside, few.asked, granted, service.port)


@pytest.mark.parametrize("name", OPEN)
def test_an_allowed_name_is_reached(name: str, tried: Tried) -> None:
    assert tried.inside[name, tried.port] == WORD


@pytest.mark.parametrize("name", LOOKALIKES)
def test_a_name_that_only_looks_like_it_is_not(name: str, tried: Tried) -> None:
    assert tried.inside[name, tried.port] == "gaierror"
    assert tried.granted[name, tried.port] == WORD


@pytest.mark.parametrize("name", MALFORMED, ids=ascii)
def test_what_is_no_name_of_a_host_is_not(name: str, tried: Tried) -> None:
    assert tried.inside[name, tried.port] == "gaierror"


def test_only_allowed_names_left_the_sandbox_and_nothing_hung(tried: Tried) -> None:
    assert set(tried.asked) == {name.lower().removesuffix(".") for name in OPEN}
    assert tried.inside.slowest < HANG_SECONDS


def test_a_denial_holds_for_all_that_is_below_it(service: Service) -> None:
    names = ["a.wild.test", "b.wild.test", "x.b.wild.test"]
    targets = [(name, service.port) for name in names]
    rules = [service.rule("127.0.0.1"), service.rule("*.wild.test")]
    denied = Outside(rules, ["b.wild.test", "*.b.wild.test"], names=Everything())
    said = connect_inside(targets, denied)
    assert [said[target] for target in targets] == [WORD, "gaierror", "gaierror"]
    assert denied.asked == ["a.wild.test"]
    allowed = connect_inside(targets, Outside(rules, names=Everything()))
    assert [allowed[target] for target in targets] == [WORD] * 3


def test_another_port_of_an_allowed_name_is_refused(service: Service, victim: Service) -> None:
    target = (CONTROL, victim.port)
    ports = [target, (CONTROL, 22), (CONTROL, 1), (CONTROL, 65535)]
    said = connect_inside([*ports, (CONTROL, service.port)], service.outside())
    assert [said[port] for port in ports] == ["ECONNREFUSED"] * len(ports)
    assert said[CONTROL, service.port] == WORD
    assert victim.arrivals == []
    # Of a name and its address both, since loopback is closed.
    half = service.outside(victim.rule(CONTROL))
    assert connect_inside([target], half)[target] in {"ECONNRESET", "EPIPE", "end"}
    assert victim.arrivals == []
    assert connect_inside([target], victim.outside())[target] == WORD


def test_the_address_of_an_allowed_name_is_not_allowed_itself(service: Service, victim: Service) -> None:
    """The name leads to the victim by the operator's rule for the address at the other port only."""
    target = ("127.0.0.1", victim.port)
    outside = Outside([victim.rule("exact.test"), service.rule("127.0.0.1")], names=Everything())
    said = connect_inside([target, ("exact.test", victim.port)], outside)
    assert said[target] == "ECONNREFUSED"
    assert said["exact.test", victim.port] in {"ECONNRESET", "EPIPE", "end"}
    assert victim.arrivals == []
    assert connect_inside([target], victim.outside())[target] == WORD


POOL = """
first, second = (socket.gethostbyname(name) for name in ("a.test", "b.test"))
six = socket.getaddrinfo("a.test", PORT, socket.AF_INET6)[0][4][0]
near = [str(socket.inet_ntoa(struct.pack("!I", number + step)))
        for number in struct.unpack("!I", socket.inet_aton(second)) for step in (1, 2, 255, 256, 65536)]
fake = [*near, *"55.198.0.0 55.198.0.1 55.198.0.2 55.198.255.255 2e00:: 2e00::1 2e00::ffff:ffff".split(),
        "::ffff:55.198.0.2", "::ffff:55.198.255.1"]
say({
    "same": [socket.gethostbyname(name) == first for name in ("a.test", "A.TEST.", "a.test")],
    "apart": first != second,
    "names": [reach(first), reach(six), reach("::ffff:" + first), reach(second)],
    "fake": {host: reach(host) for host in fake},
    "late": reach("c.test"),
})
"""


def test_an_address_inside_stands_for_the_one_name_that_it_was_given_for(
    service: Service, victim: Service
) -> None:
    """Both names are the same host: it is the name that decides, and what has none leads nowhere."""
    outside = service.outside(*map(service.rule, ("a.test", "c.test")), victim.rule("b.test"))
    outside.names = Everything()
    said, _ = attack(POOL, outside, service.port)
    assert said["same"] == [True] * 3
    assert said["apart"]
    assert said["names"] == [WORD, WORD, WORD, "ECONNREFUSED"]
    assert set(said["fake"].values()) <= {"ECONNREFUSED", "ENETUNREACH"}
    assert said["late"] == WORD
    assert victim.arrivals == []
