"""Where an endpoint listens, and how its clients write that."""

import pytest

from mcp_client.errors import MCPError
from mcp_client.executor.listener import Place


@pytest.mark.parametrize(
    ("host", "address", "url_host", "loopback"),
    [
        ("localhost", "127.0.0.1", "127.0.0.1", True),
        ("127.9.9.9", "127.9.9.9", "127.9.9.9", True),
        ("::1", "::1", "[::1]", True),
        ("0:0::1", "::1", "[::1]", True),
        ("::ffff:127.0.0.1", "127.0.0.1", "127.0.0.1", True),
        ("0.0.0.0", "0.0.0.0", "127.0.0.1", False),
        ("::", "::", "[::1]", False),
        ("192.0.2.1", "192.0.2.1", "192.0.2.1", False),
        ("2001:db8::1", "2001:db8::1", "[2001:db8::1]", False),
        ("fe80::1%eth0", "fe80::1%eth0", "[fe80::1%eth0]", False),
        ("::2", "::2", "[::2]", False),
        ("128.0.0.1", "128.0.0.1", "128.0.0.1", False),
    ],
)
def test_an_address_is_known_in_each_spelling(host: str, address: str, url_host: str, loopback: bool) -> None:
    place = Place(host, 0)
    assert (place.address, place.url_host, place.is_loopback) == (address, url_host, loopback)


@pytest.mark.parametrize(
    "host", ["", "here", "127.1", "0x7f.0.0.1", "127.0.0.1%lo", "fe80::1%", "[::1]", "::1 "]
)
def test_what_is_no_address_is_refused(host: str) -> None:
    with pytest.raises(MCPError) as caught:
        Place(host, 0)
    assert caught.value.code == "listen-failed"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_that_is_taken_is_told(host: str) -> None:
    taken, port = Place(host, 0).listen()
    try:
        with pytest.raises(MCPError) as caught:
            Place(host, port).listen()
    finally:
        taken.close()
    assert caught.value.code == "listen-failed"
    assert f"127.0.0.1:{port}" in caught.value.message
