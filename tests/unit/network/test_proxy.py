"""The host's own proxy: what the environment says, and what is asked of it."""

import pytest

from mcp_client.network.addresses import parse_address
from mcp_client.network.engine.proxy import from_environment

ECHO = """
with socket.create_connection({where!r}, 5) as end:
    end.sendall(b"hello")
    got = end.recv(5, socket.MSG_WAITALL).decode()
"""


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({"HTTPS_PROXY": "http://proxy.corp:3128"}, ("proxy.corp", 3128, "")),
        ({"https_proxy": "proxy.corp:3128/", "HTTPS_PROXY": "http://other:1"}, ("proxy.corp", 3128, "")),
        ({"ALL_PROXY": "http://[::1]:8080"}, ("::1", 8080, "")),
        ({"ALL_PROXY": "http://proxy.corp"}, ("proxy.corp", 80, "")),
        ({"https_proxy": "http://a%40b:c%3Ad@proxy:1"}, ("proxy", 1, "Basic YUBiOmM6ZA==")),
        # How Python has a byte of the environment that is no UTF-8.
        ({"https_proxy": "http://\udce9:x@proxy:1"}, ("proxy", 1, "Basic 6Tp4")),
    ],
)
def test_the_proxy_of_an_environment(environment, place):
    proxy = from_environment(environment)

    assert (proxy.host, proxy.port, proxy.authorization) == place
    assert not proxy.unusable


@pytest.mark.parametrize(
    "url", ["socks5://proxy:1080", "https://proxy:443", "http://proxy:99999", "http://:80"]
)
def test_a_proxy_that_cannot_be_used_says_why(url):
    assert from_environment({"HTTPS_PROXY": url}).unusable


@pytest.mark.parametrize("url", ["\x1b[31m://proxy:1", "x" * 1000 + "://proxy:1"])
def test_what_is_said_about_a_proxy_can_be_shown(url):
    said = from_environment({"HTTPS_PROXY": url}).unusable

    assert said.isprintable()
    assert len(said) < 80


def test_without_a_variable_there_is_none():
    assert from_environment({"HTTP_PROXY": "http://proxy:1", "HTTPS_PROXY": ""}) is None


@pytest.mark.parametrize(
    ("entries", "destination", "served"),
    [
        ("", "api.example.com", True),
        ("*", "api.example.com", False),
        ("example.com", "api.example.com", False),
        (".example.com", "api.example.com", False),
        ("*.example.com", "api.example.com", False),
        ("ample.com", "api.example.com", True),
        ("localhost, api.example.com:443", "api.example.com", False),
        ("api.example.com:8443", "api.example.com", True),
        ("10.0.0.0/8", parse_address("10.1.2.3"), False),
        ("10.1.2.3", parse_address("10.1.2.3"), False),
        ("10.1.2.3:80", parse_address("10.1.2.3"), True),
        ("[fd00::1]:443", parse_address("fd00::1"), False),
        ("fd00::/8", parse_address("fd00::1"), False),
        ("10.0.0.0/33", parse_address("10.1.2.3"), True),
        ("example.com", parse_address("10.1.2.3"), True),
    ],
)
def test_exceptions(entries, destination, served):
    proxy = from_environment({"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": entries})

    assert proxy.serves(destination, 443) is served


def proxy_server(asked, reply, greeting=b""):
    def serve(connection):
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += connection.recv(1)
        asked.append(request.decode())
        for byte in reply:
            connection.sendall(bytes((byte,)))
        connection.sendall(greeting)
        while data := connection.recv(4096):
            connection.sendall(data)

    return serve


def test_a_name_goes_to_the_proxy_unresolved(running, namespace, host):
    asked = []
    proxy = host(proxy_server(asked, b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n"))
    engine = running(["api.example.com"], environment={"https_proxy": f"http://u:p@127.0.0.1:{proxy.port}"})
    inside = namespace(engine)
    address = inside.look_up("api.example.com")

    assert inside.open(address, 443)
    assert inside.run(ECHO.format(where=(address, 443))) == "hello"
    assert engine.asked == []
    assert asked[0].split("\r\n") == [
        "CONNECT api.example.com:443 HTTP/1.1",
        "Host: api.example.com:443",
        "Proxy-Authorization: Basic dTpw",
        "",
        "",
    ]


def test_what_the_other_end_says_first_is_not_lost(running, namespace, host):
    proxy = host(proxy_server([], b"HTTP/1.0 200 OK\r\n\r\n", greeting=b"welcome"))
    engine = running(["api.example.com"], environment={"https_proxy": f"127.0.0.1:{proxy.port}"})
    inside = namespace(engine)
    address = inside.look_up("api.example.com")

    assert inside.open(address, 25)
    assert (
        inside.run(f"""
        with socket.create_connection({(address, 25)!r}, 5) as end:
            got = end.recv(7, socket.MSG_WAITALL).decode()
    """)
        == "welcome"
    )


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "the proxy answers 403"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "the proxy answers nothing that is HTTP"),
        (b"HTTP/1.1 \x1b[31m No\r\n\r\n", "the proxy answers nothing that is HTTP"),
        (b"HTTP/1.1 " + b"5" * 9000 + b" No\r\n\r\n", "the proxy answers 555"),
    ],
)
def test_a_refusal_of_the_proxy_is_a_reset(running, namespace, host, reply, reason):
    proxy = host(proxy_server([], reply))
    engine = running(["api.example.com"], environment={"https_proxy": f"127.0.0.1:{proxy.port}"})
    inside = namespace(engine)
    address = inside.look_up("api.example.com")

    assert inside.open(address, 443)
    assert inside.attempt(ECHO.format(where=(address, 443))) in {"ConnectionResetError", "BrokenPipeError"}
    assert engine.record()["api.example.com:443"] == {"failed": 1, "reason": reason}


def test_nothing_goes_around_a_proxy_that_cannot_be_used(running, namespace, host):
    server = host()
    environment = {"ALL_PROXY": "socks5://127.0.0.1:1"}
    names = {"api.example.com": ["127.0.0.1"]}
    engine = running(["api.example.com", "127.0.0.1"], environment=environment, names=names)
    inside = namespace(engine)
    address = inside.look_up("api.example.com")

    assert inside.open(address, server.port)
    assert inside.attempt(ECHO.format(where=(address, server.port))) in {
        "ConnectionResetError",
        "BrokenPipeError",
    }
    assert "socks5" in engine.record()[f"api.example.com:{server.port}"]["reason"]
    assert "socks5" in engine.denials[0]


def test_a_proxy_that_nobody_knows_is_named_as_the_cause(running, namespace):
    engine = running(["api.example.com"], environment={"https_proxy": "http://proxy.corp:1"})
    inside = namespace(engine)
    address = inside.look_up("api.example.com")

    assert inside.open(address, 443)
    assert inside.attempt(ECHO.format(where=(address, 443))) in {"ConnectionResetError", "BrokenPipeError"}
    assert engine.record()["api.example.com:443"]["reason"] == "the proxy: name not known"
