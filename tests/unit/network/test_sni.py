"""The host that a TLS connection is for."""

import ssl

import pytest

from mcp_client.network.sni import LONGEST_HELLO, read_hello


def hello(name):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname = name is not None
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def extended(extensions):
    """A ClientHello with these (type, value)."""
    packed = b"".join(
        kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value for kind, value in extensions
    )
    body = bytes(34) + b"\0" + b"\0\2\x13\x01" + b"\1\0" + len(packed).to_bytes(2, "big") + packed
    message = b"\1" + len(body).to_bytes(3, "big") + body
    return b"\x16\3\1" + len(message).to_bytes(2, "big") + message


def server_name(name, kind=0):
    entry = bytes((kind,)) + len(name).to_bytes(2, "big") + name
    return 0, len(entry).to_bytes(2, "big") + entry


def test_the_name_of_a_real_client_is_read():
    assert read_hello(hello("Api.Example.com")).name == "api.example.com"


def test_every_shorter_piece_asks_for_more():
    data = hello("api.example.com")

    assert {read_hello(data[:size]) for size in range(len(data))} == {("", "")}


def test_a_message_in_many_records_is_read():
    message = hello("api.example.com")[5:]
    records = b"".join(b"\x16\3\1\0\1" + bytes((byte,)) for byte in message)

    assert read_hello(records).name == "api.example.com"


@pytest.mark.parametrize(
    "data",
    [
        hello(None),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\3\1\0\0",
        b"\x16\3\1\0\4\2\0\0\0",
        b"\x16\3\1\0\4\1\0\0\0",
        extended([]),
        extended([server_name(b"")]),
        extended([server_name(b"api.example.com", kind=1)]),
        extended([server_name(b"api.example.com"), server_name(b"evil.example.com")]),
        extended([server_name(b"api.example.com"), (0xFE0D, b"x")]),
        extended([(0, b"\0\xff\0\0\1a")]),
        b"\x16\3\1\xff\xff\1\xff\xff\xff" + bytes(LONGEST_HELLO),
    ],
)
def test_without_one_open_name_it_is_wrong(data):
    found = read_hello(data + bytes(LONGEST_HELLO) if data.startswith(b"\x16\3\1\xff") else data)

    assert not found.name


@pytest.mark.parametrize("position", range(0, 60, 3))
def test_lengths_that_lead_beyond_the_end_do_not_make_it_fail(position):
    data = bytearray(extended([server_name(b"api.example.com")]))
    data[position] = 0xFF

    read_hello(bytes(data))
