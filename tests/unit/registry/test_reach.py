"""Which addresses a registry may lead to, and connections that keep to it."""

import socket

import httpcore
import pytest

from mcp_client.errors import MCPError
from mcp_client.network.addresses import parse_address
from mcp_client.registry.dial import Dialer
from mcp_client.registry.reach import is_loopback, look_up, why_out_of_reach

PUBLIC, PRIVATE, LOOPBACK = ["8.8.8.8"], ["10.1.1.1"], ["127.0.0.1", "::1"]
HOMES = {
    "public": PUBLIC,
    "private": PRIVATE,
    "loopback": LOOPBACK,
    "unknown": None,
    "both": PUBLIC + PRIVATE,
}


def reached(address, home, encrypted):
    def known():
        if HOMES[home] is None:
            raise socket.gaierror("no name service here")
        return [parse_address(one) for one in HOMES[home]]

    return why_out_of_reach(parse_address(address), encrypted=encrypted, home=known) is None


@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize("address", ["8.8.4.4", "2606:4700::1", "64:ff9b::808:808"])
def test_what_is_public_is_open(address, home, encrypted):
    assert reached(address, home, encrypted)


@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "127.255.1.2",
            "::1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
        ),
        *("2002:7f00:1::", "::127.0.0.1", "::ffff:0.0.0.0"),
    ],
)
def test_this_machine_is_for_registries_on_it(address, encrypted):
    assert [reached(address, home, encrypted) for home in HOMES] == [False, False, True, False, False]


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "172.31.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "fc00::1"]
)
def test_private_networks_are_for_registries_in_one_or_by_tls(address):
    assert all(reached(address, home, encrypted=True) for home in HOMES)
    assert [reached(address, home, encrypted=False) for home in HOMES] == [False, True, True, False, False]


@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize(
    "address",
    [
        *(
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "fd00:ec2::254",
        ),
        *(
            "100.100.100.200",
            "168.63.129.16",
            "169.254.1.1",
            "fe80::1",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
        ),
        *("240.0.0.1", "192.0.2.1", "2001:db8::1", "192.0.0.192"),
    ],
)
def test_metadata_and_what_is_no_destination_are_for_nobody(address, home, encrypted):
    assert not reached(address, home, encrypted)


def test_where_the_registry_itself_is_it_may_lead():
    address = parse_address("169.254.1.1")
    assert why_out_of_reach(address, encrypted=False, home=lambda: [address]) is None


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *(("localhost", True), ("127.0.0.1", True), ("::1", True), ("::ffff:7f00:1", True)),
        *(("localhost.example", False), ("127.0.0.1.example", False), ("127.1", False), ("0.0.0.0", False)),
    ],
)
def test_loopback_by_name_or_address(host, expected):
    assert is_loopback(host) is expected


def test_a_name_has_its_addresses_once_each():
    found = look_up("localhost")
    assert len(found) == len(set(found)) > 0
    assert all(is_loopback(str(address)) for address in found)


@pytest.fixture
def named(monkeypatch):
    """Let ``two.example`` have these addresses; the rest is looked up as ever."""
    real = socket.getaddrinfo

    def name(*addresses):
        def look(host, *args, **options):
            if host != "two.example":
                return real(host, *args, **options)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", look)

    return name


def test_nothing_is_connected_to_before_every_address_was_checked(named):
    """The first address would answer; the name is refused for its second one."""
    named("127.0.0.1", "127.0.0.2")

    def check(host, address):
        assert host == "two.example"
        if str(address) == "127.0.0.2":
            raise MCPError("registry-protocol", "no", hint="no")

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(MCPError):
            Dialer(check).connect_tcp("two.example", port, 5)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
        Dialer(None).connect_tcp("two.example", port, 5).close()
        server.accept()[0].close()


def test_the_next_address_is_tried(named):
    named("127.0.0.2", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        stream = Dialer(None).connect_tcp("two.example", server.getsockname()[1], 5)
        assert stream.get_extra_info("server_addr")[0] == "127.0.0.1"
        stream.close()


def test_a_name_without_an_address(named):
    named()
    with pytest.raises(httpcore.ConnectError):
        Dialer(None).connect_tcp("two.example", 1, 5)
