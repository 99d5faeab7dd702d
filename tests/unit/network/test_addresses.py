"""An address has one spelling, and what a packet can end at decides whether it is closed."""

import ipaddress
import random

import pytest

from mcp_client.network import closed
from mcp_client.network.addresses import Address, Network, from_packed, parse_address, parse_network
from mcp_client.network.closed import POOL_V4, POOL_V6, closed_ranges, meanings, why_closed


def address(text: str) -> Address:
    found = parse_address(text)
    assert found is not None, text
    return found


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0.0.0.0", "0.0.0.0"),
        ("255.255.255.255", "255.255.255.255"),
        ("8.8.4.4", "8.8.4.4"),
        ("::", "::"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::FFFF:0a00:0001", "10.0.0.1"),
        ("64:ff9b::8.8.8.8", "64:ff9b::808:808"),
    ],
)
def test_an_address_is_read_and_shown_in_one_spelling(text, shown):
    assert str(address(text)) == shown
    assert address(shown) == address(text) == from_packed(address(text).packed)


@pytest.mark.parametrize("text", ["1.2.3.4", "::1", "2001:db8::ff00:42:8329", "fe80::1", "1:2:3:4:5:6:7:8"])
def test_numbers_are_those_of_the_standard_library(text):
    assert address(text).number == int(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "1", "127.1", "1.2.3", "1.2.3.4.5", "1.2.3.4.", ".1.2.3.4", "1..2.3", "256.1.1.1",
        "-1.2.3.4",
        "+1.2.3.4", "01.2.3.4", "1.2.3.04", "0x7f.0.0.1", "0x7f000001", "2130706433", "017700000001",
        "1.2.3.4 ", " 1.2.3.4", "1.2.3.4\n", "1.2.3.4\0", "1_0.2.3.4", "\u0661.2.3.4", "\uff11.2.3.4",
        "1.2.3.\u00b2",
        "1.2.3.1000", "::1%lo", "fe80::1%1", "fe80::1%eth0", ":::", "::1::", "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "::12345", "::g", "[::1]", "::1/128", "::1.2.3", "::1.2.3.256", "::0x7f.0.0.1", "::\0001", "::1\n",
        "::ffff:127.1", "localhost", "a" * 100, "1" * 5000,
    ],
)  # fmt: skip
def test_other_spellings_are_none(text):
    assert parse_address(text) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.1.2.3", "10.1.2.3"),
        ("10.1.2.3/32", "10.1.2.3"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::1/128", "::1"),
    ],
)
def test_networks_have_one_spelling(text, shown):
    assert str(parse_network(text)) == shown
    assert parse_network(shown) == parse_network(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("10.0.0.1/8", "the network is 10.0.0.0/8"),
        ("2001:db8::1/32", "the network is 2001:db8::/32"),
        ("10.0.0.0/33", "0 to 32"),
        ("::/129", "0 to 128"),
        ("10.0.0.0/", "0 to 32"),
        ("10.0.0.0/08", "0 to 32"),
        ("10.0.0.0/-1", "0 to 32"),
        ("10.0.0.0/8/8", "0 to 32"),
        ("10.0.0.0/255.0.0.0", "0 to 32"),
        ("10.0.0.0/\u0668", "0 to 32"),
        ("10/8", "no address"),
        ("10.0.0.0 /8", "no address"),
        ("/8", "no address"),
        ("fe80::1%eth0/64", "zone"),
        ("::ffff:10.0.0.1", "written as such: 10.0.0.1"),
        ("::ffff:0:0/96", "written as such"),
        ("::ffff:10.0.0.0/104", "written as such"),
    ],
)
def test_a_misspelt_network_is_told_what_is_wrong(text, says):
    with pytest.raises(ValueError, match=says):
        parse_network(text)


def test_what_lies_in_a_network():
    ten = parse_network("10.0.0.0/8")
    assert ten.holds(address("10.255.255.255"))
    assert ten.holds(address("::ffff:10.0.0.1")), "the kernel sends it as IPv4"
    assert not ten.holds(address("11.0.0.0"))
    assert not ten.holds(address("9.255.255.255"))
    assert not ten.holds(address("::a00:1"))
    assert not parse_network("::/0").holds(address("10.0.0.1"))
    assert not parse_network("::/0").holds(address("::ffff:10.0.0.1"))
    assert parse_network("0.0.0.0/0").holds(address("255.255.255.255"))
    assert parse_network("10.1.0.0/16").within(ten)
    assert ten.within(ten)
    assert not ten.within(parse_network("10.1.0.0/16"))
    assert not ten.within(parse_network("::/0"))
    assert Network(32, 0, 0).within(Network(32, 0, 0))


CLOSED = {
    "this machine itself": "127.0.0.1 127.0.0.53 127.255.255.254 ::1",
    "a cloud's metadata service": "169.254.169.254 169.254.169.253 169.254.170.2 100.100.100.200 192.0.0.192 "
    "168.63.129.16 fd00:ec2::254 fd00:ec2::23 fd20:ce::254 fd00:42::42",
    "a private network": "10.0.0.1 10.255.255.255 172.16.0.1 172.17.0.1 172.31.255.255 192.168.0.1 "
    "192.168.255.255 fc00::1 fd12:3456::1 fec0::1",
    "link-local": "169.254.0.1 169.254.255.255 fe80::1 febf::1",
    "shared by customers of a provider": "100.64.0.1 100.127.255.255",
    "no destination": "0.0.0.0 0.0.0.1 0.255.255.255 ::",
    "multicast": "224.0.0.1 224.0.0.251 239.255.255.255 ff02::1 ff0e::1",
    "broadcast": "255.255.255.255",
    "reserved": "240.0.0.1 255.255.255.254 192.0.0.1 192.88.99.1 2001:2::1 2001:10::1 5f00::1 4000::1 "
    "8000::1 ::2:0:0 200::1 100::1",
    "for measurements": "198.18.0.1 198.19.255.255",
    "reserved for documents": "192.0.2.1 198.51.100.1 203.0.113.1 2001:db8::1 3fff::1",
    "used inside the sandbox": "55.198.0.1 55.198.255.255 2e00::1 2e00::ffff",
    "an address translator's private network": "64:ff9b:1::1",
    "a Teredo tunnel": "2001:0:808:808::1",
    "a 6to4 tunnel": "2002:808:808::1",
}
OPEN = (
    "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 169.253.1.1 "
    "169.255.0.1 172.15.255.255 172.32.0.0 192.0.1.1 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 "
    "223.255.255.255 168.63.129.15 2606:4700::1111 2a00:1450::1 2001:4860:4860::8888 2001:200::1 "
    "64:ff9b::8.8.8.8"
)


@pytest.mark.parametrize(
    ("kind", "text"), [(kind, text) for kind, texts in CLOSED.items() for text in texts.split()]
)
def test_special_addresses_are_closed_to_names(kind, text):
    assert why_closed(address(text)) == kind


@pytest.mark.parametrize("text", OPEN.split())
def test_public_addresses_are_open(text):
    assert why_closed(address(text)) is None


@pytest.mark.parametrize("text", [text for texts in CLOSED.values() for text in texts.split()])
def test_wide_networks_open_no_special_address(text):
    found = address(text)
    for wide in ("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "::/0", "8.0.0.0/6"):
        assert why_closed(found, parse_network(wide)) is not None


@pytest.mark.parametrize(
    "text",
    [
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::127.0.0.1", "::10.0.0.1",
        "64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b::192.168.1.1", "64:ff9b::0.0.0.0",
        "64:ff9b::55.198.0.1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:a00:1::1",
        "2001:0:7f00:1::1", "2001:0:808:808::5601:5601", "2001:0:808:808:0:0:80ff:fffe",
    ],
)  # fmt: skip
def test_ipv4_inside_ipv6_is_closed_where_the_ipv4_is(text):
    found = address(text)
    assert why_closed(found) is not None
    # A rule that spells the tunnel does not say that it means the address behind it.
    if found.bits == 128:
        assert why_closed(found, Network(128, found.number, 128)) is not None


def test_tunnels_hide_their_ends():
    shown = [str(meaning) for meaning in meanings(address("2002:a01:203::7f00:1"))]
    assert shown == ["2002:a01:203::7f00:1", "10.1.2.3"]
    shown = [str(meaning) for meaning in meanings(address("2001:0:7f00:1:0:0:f5ff:fffe"))]
    assert shown == ["2001:0:7f00:1::f5ff:fffe", "127.0.0.1", "10.0.0.1"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("10.1.2.3", "10.1.2.3"), ("10.1.2.3", "10.0.0.0/8"), ("10.1.2.3", "10.1.0.0/16"),
        ("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "127.0.0.0/8"), ("::1", "::1"), ("fd12::1", "fc00::/7"),
        ("fe80::1", "fe80::/10"), ("169.254.1.1", "169.254.0.0/16"), ("169.254.169.254", "169.254.169.254"),
        ("100.64.0.1", "100.64.0.0/10"), ("192.0.2.1", "192.0.2.0/24"), ("168.63.129.16", "168.63.129.16"),
        ("2001:db8::1", "2001:db8::/32"), ("::ffff:10.1.2.3", "10.0.0.0/8"),
    ],
)  # fmt: skip
def test_a_rule_that_names_a_closed_range_opens_it(text, rule):
    assert why_closed(address(text), parse_network(rule)) is None


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("169.254.169.254", "169.254.0.0/16"), ("169.254.170.2", "169.254.0.0/16"),
        ("fd00:ec2::254", "fc00::/7"), ("fd00:ec2::254", "fd00::/8"), ("100.100.100.200", "100.64.0.0/10"),
        ("192.0.0.192", "192.0.0.0/24"), ("168.63.129.16", "168.63.128.0/17"), ("10.0.0.1", "8.0.0.0/6"),
        ("127.0.0.1", "126.0.0.0/7"), ("::1", "::/127"), ("55.198.0.1", "55.198.0.1"),
        ("2e00::1", "2e00::/64"),
        ("224.0.0.1", "224.0.0.1"), ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "240.0.0.0/4"),
        ("::", "::"), ("ff02::1", "ff02::1"),
    ],
)  # fmt: skip
def test_a_wider_or_forbidden_rule_does_not(text, rule):
    assert why_closed(address(text), parse_network(rule)) is not None


def test_this_machines_own_addresses_need_a_rule_for_each():
    own = {address("203.0.112.9"), address("192.168.1.7"), address("2a00::7")}
    for text in ("203.0.112.9", "192.168.1.7", "2a00::7", "::ffff:203.0.112.9", "64:ff9b::203.0.112.9"):
        assert why_closed(address(text), None, own)
    assert why_closed(address("203.0.112.9"), None, own) == "this machine itself"
    assert why_closed(address("192.168.1.7"), parse_network("192.168.0.0/16"), own) == "this machine itself"
    assert why_closed(address("2a00::7"), parse_network("2a00::/127"), own)
    assert why_closed(address("203.0.112.9"), parse_network("0.0.0.0/0"), own)
    assert why_closed(address("192.168.1.7"), parse_network("192.168.1.7"), own) is None
    assert why_closed(address("192.168.1.8"), parse_network("192.168.0.0/16"), own) is None


@pytest.mark.parametrize("bits", [32, 128])
def test_what_the_standard_library_calls_special_is_closed(bits):
    """Against a second table: at the edges of each range, and at places drawn by lot."""
    of = ipaddress.IPv4Address if bits == 32 else ipaddress.IPv6Address
    lot = random.Random(1)
    numbers = {lot.getrandbits(bits) for _ in range(2000)}
    for entry in closed._RANGES:
        if entry.network.bits == bits:
            size = 1 << (bits - entry.network.prefix)
            first = entry.network.number
            numbers |= {first - 1, first, first + 1, first + size - 2, first + size - 1, first + size}
    for number in filter(range(1 << bits).__contains__, numbers):
        if not of(number).is_global:
            assert why_closed(from_packed(Address(bits, number).packed)) is not None, of(number)


def test_which_ranges_hold_a_network():
    kinds = [entry.kind for entry in closed_ranges(parse_network("169.254.169.254"))]
    assert kinds == ["a cloud's metadata service", "link-local"]
    assert closed_ranges(parse_network("0.0.0.0/0")) == ()
    assert closed_ranges(POOL_V4)[0].never
    assert closed_ranges(POOL_V6)[0].never
