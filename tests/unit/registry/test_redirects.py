"""Where redirects may lead, who sees the token, and what proxies see."""

import gc
import socket
import threading
from contextlib import suppress

import pytest

from mcp_client.config.settings import RegistrySettings
from mcp_client.errors import MCPError
from mcp_client.registry.connection import Connection
from mcp_client.registry.urls import parse_location

DATA = b"artifact"
TOKEN = "Bearer sesame"


def refused(client, reference, code="registry-protocol"):
    with pytest.raises(MCPError) as caught:
        client.resolve(reference)
    assert caught.value.code == code
    assert "sesame" not in caught.value.message + caught.value.hint
    return caught.value


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_same_origin_keeps_the_token(server, open_at, kit, status):
    server.routes[kit.resolve] = kit.redirect("/moved", status)
    server.routes["/moved"] = kit.send(200, kit.answer)
    open_at(server.url, token="sesame").resolve(kit.one)
    assert [request.token for request in server.log] == [TOKEN, TOKEN]
    assert server.log[1].method == ("GET" if status == 303 else "POST")
    assert bool(server.log[1].body) == (status != 303)


def test_another_origin_never_sees_the_token(server, new_server, open_at, kit):
    other = new_server()
    server.routes["/artifact"] = kit.redirect(f"{other.url}/presigned?X-Amz-Signature=1")
    other.routes["/presigned"] = kit.send(200, DATA)
    client = open_at(server.url, token="sesame")
    assert b"".join(client.fetch(kit.descriptor(DATA), 100)) == DATA
    assert [request.token for request in server.log] == [TOKEN]
    assert [request.token for request in other.log] == [None]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2"])
def test_another_name_of_the_same_machine_is_another_origin(new_server, open_at, kit, host):
    server = new_server(socket.AF_INET, "")
    server.routes["/artifact"] = kit.redirect(f"http://{host}:{server.port}/there")
    server.routes["/there"] = kit.send(200, DATA)
    assert b"".join(open_at(server.url, token="sesame").fetch(kit.descriptor(DATA), 100)) == DATA
    assert [request.token for request in server.log] == [TOKEN, None]


def test_an_answer_that_names_another_origin(server, new_server, open_at, kit):
    other = new_server()
    other.routes["/artifact"] = kit.send(200, DATA)
    chunks = open_at(server.url, token="sesame").fetch(kit.descriptor(DATA, f"{other.url}/artifact"), 100)
    assert b"".join(chunks) == DATA
    assert other.log[0].token is None


def test_a_token_left_behind_does_not_come_back(server, new_server, open_at, kit):
    other = new_server()
    server.routes["/artifact"] = kit.redirect(f"{other.url}/back")
    other.routes["/back"] = kit.redirect(f"{server.url}/secret")
    server.routes["/secret"] = kit.redirect("/secret-too")
    server.routes["/secret-too"] = kit.send(200, DATA)
    b"".join(open_at(server.url, token="sesame").fetch(kit.descriptor(DATA), 100))
    assert [(request.path, request.token) for request in server.log] == [
        ("/artifact", TOKEN),
        ("/secret", None),
        ("/secret-too", None),
    ]


def test_another_origin_cannot_ask_the_registry_with_our_token(server, new_server, open_at, kit):
    other = new_server()
    other.routes["/artifact"] = kit.redirect(f"{server.url}/secret")
    server.routes["/secret"] = kit.send(200, DATA)
    b"".join(open_at(server.url, token="sesame").fetch(kit.descriptor(DATA, f"{other.url}/artifact"), 100))
    assert [request.token for request in server.log] == [None]


def test_a_resumed_download_begins_at_the_registry_again(server, new_server, open_at, kit):
    other = new_server()
    server.routes["/artifact"] = kit.redirect(f"{other.url}/data")
    other.routes["/data"] = kit.in_turn(
        kit.send(200, DATA[:3], {"Content-Length": str(len(DATA)), "Connection": "close"}),
        kit.send(206, DATA[3:], {"Content-Range": f"bytes 3-{len(DATA) - 1}/{len(DATA)}"}),
    )
    assert b"".join(open_at(server.url, token="sesame").fetch(kit.descriptor(DATA), 100)) == DATA
    assert [request.token for request in server.log] == [TOKEN, TOKEN]
    assert [(one.token, one.headers.get("range")) for one in other.log] == [(None, None), (None, "bytes=3-")]


def test_a_loop(server, open_at, kit):
    server.routes[kit.resolve] = kit.redirect(kit.resolve, 307)
    assert "10 redirects" in refused(open_at(server.url), kit.one).message
    assert len(server.log) == 11


def test_ten_redirects_are_followed(server, open_at, kit):
    for number in range(10):
        server.routes[f"/{number}"] = kit.redirect(f"/{number + 1}")
    server.routes["/10"] = kit.send(200, DATA)
    assert b"".join(open_at(server.url).fetch(kit.descriptor(DATA, "/0"), 100)) == DATA


@pytest.mark.parametrize(
    "target",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "gopher:x",
        "javascript:alert(1)",
        "http://10.0.0.1/",
        "//evil.example/?sesame",
        "http://sesame:sesame@127.0.0.1/",
        "http://127.0.0.1:99999/",
        "http://[::1",
        "http://127.0.0.1@evil.example/",
        "http://[::1]evil.example/",
        "https://ho st/",
        "http://127.0.0.1/\x1b[2J",
        "",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:-1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://017700000001/",
        "http://127.0.0.1.:80x/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::ffff:169.254.169.254]/",
        "https://[fe80::1%25eth0]/",
        "https://[fe80::1]/",
        "https://224.0.0.1/",
        "https://ex%61mple/",
        "https://ex\u00e4mple/",
        "http:x",
        "///x",
        "http:///x",
        "http://",
        "\\\\evil.example\\x",
        "/\\evil.example/x",
        "data:,x",
        "ws://127.0.0.1/",
        "http://a..b/",
    ],
)
def test_where_no_redirect_may_lead(server, open_at, kit, target):
    server.routes[kit.resolve] = kit.redirect(target)
    assert refused(open_at(server.url, token="sesame"), kit.one).message.isprintable()
    assert len(server.log) == 1


@pytest.mark.parametrize("status", [300, 304, 305, 306, 399])
def test_what_is_no_redirect_is_not_followed(server, open_at, kit, status):
    server.routes[kit.resolve] = kit.redirect("/elsewhere", status)
    refused(open_at(server.url), kit.one)
    assert len(server.log) == 1


def test_a_cookie_is_not_kept(server, open_at, kit):
    server.routes[kit.resolve] = kit.send(307, b"", {"Location": "/next", "Set-Cookie": "a=b; Path=/"})
    server.routes["/next"] = kit.send(200, kit.answer, {"Set-Cookie": "c=d; Path=/"})
    client = open_at(server.url)
    client.resolve(kit.one)
    client.resolve(kit.one)
    assert [one.headers.get("cookie") for one in server.log] == [None] * 4


def test_a_netrc_is_not_read(server, open_at, kit, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password sesame\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    server.routes[kit.resolve] = kit.send(200, kit.answer)
    open_at(server.url).resolve(kit.one)
    assert server.log[0].token is None


def test_a_redirect_without_a_target(server, open_at, kit):
    server.routes[kit.resolve] = kit.send(302)
    refused(open_at(server.url), kit.one)


@pytest.mark.parametrize(
    ("insecure", "home", "url", "allowed"),
    [
        (False, "https://a", "https://a/x", True),
        (False, "https://a", "https://b/x", True),
        (False, "https://a", "http://a/x", False),
        (True, "https://a", "http://a/x", False),
        (True, "https://127.0.0.1", "http://127.0.0.1/x", False),
        (False, "http://127.0.0.1", "http://b/x", False),
        (True, "http://127.0.0.1", "http://b/x", True),
        (False, "http://127.0.0.1", "https://b/x", True),
        (False, "http://127.0.0.1", "http://localhost/x", True),
        (False, "https://a", "https://127.0.0.1/x", False),
        (True, "http://a", "http://127.0.0.1:8080/x", False),
        (True, "http://a", "http://[::1]:8080/x", False),
        (True, "http://a", "https://a/x", True),
        (False, "https://a", "https://0.0.0.0/x", False),
        (False, "https://a", "https://[::]/x", False),
        (False, "https://a", "https://[::ffff:7f00:1]/x", False),
        (False, "https://a", "https://10.0.0.1/x", True),
        (True, "http://8.8.8.8", "http://10.0.0.1/x", False),
        (True, "http://10.0.0.2", "http://10.0.0.1/x", True),
        (True, "http://10.0.0.2", "http://169.254.169.254/x", False),
        (True, "http://169.254.169.254", "http://169.254.169.254/x", True),
        (True, "http://169.254.169.254", "http://169.254.169.254:8080/x", True),
    ],
)
def test_encryption_and_this_machine(insecure, home, url, allowed):
    connection = Connection(home, RegistrySettings(insecure=insecure), None)
    if allowed:
        assert connection.allowed(url, parse_location(home)).url == url
        return
    with pytest.raises(MCPError) as caught:
        connection.allowed(url, parse_location(home))
    assert caught.value.code == "registry-protocol"


@pytest.mark.parametrize("host", ["10.0.0.1", "registry.example", "127.0.0.1.example", "0.0.0.0", "[::]"])
def test_plain_http_elsewhere_is_refused(open_at, host):
    with pytest.raises(MCPError) as caught:
        open_at(f"http://{host}")
    assert caught.value.code == "config-invalid"
    assert "insecure" in caught.value.hint
    open_at(f"http://{host}", insecure=True)


def test_loopback_of_ipv6(new_server, open_at, kit):
    try:
        server = new_server(socket.AF_INET6, "::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    server.routes[kit.resolve] = kit.send(200, kit.answer)
    open_at(f"http://[::1]:{server.port}", token="sesame").resolve(kit.one)
    assert server.log[0].token == TOKEN


@pytest.fixture
def proxy(new_server, monkeypatch):
    server = new_server()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, server.url)
    return server


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3"])
def test_what_stays_on_this_machine_goes_through_no_proxy(new_server, proxy, open_at, kit, host):
    server = new_server(socket.AF_INET, "")
    server.routes[kit.resolve] = kit.send(200, kit.answer)
    open_at(f"http://{host}:{server.port}", token="sesame").resolve(kit.one)
    assert len(server.log) == 1
    assert proxy.log == []


def test_a_proxy_is_used_for_the_rest_and_cannot_lead_home(new_server, proxy, open_at, kit):
    local = new_server()
    proxy.routes["http://registry.example" + kit.resolve] = kit.redirect(local.url + "/admin", 307)
    client = open_at("http://registry.example", insecure=True)
    assert "this machine" in refused(client, kit.one).message
    assert proxy.paths() == ["POST http://registry.example" + kit.resolve]
    assert local.log == []


@pytest.mark.parametrize(
    "proxy",
    [
        "socks9://user:sesame@127.0.0.1:9",
        "http://user:sesame@127.0.0.1:port",
        "socks5h://user:sesame@127.0.0.1:port",
    ],
)
def test_a_proxy_that_cannot_be_used(open_at, kit, monkeypatch, proxy):
    monkeypatch.setenv("ALL_PROXY", proxy)
    refused(open_at("https://registry.example"), kit.one, "config-invalid")


def test_a_proxy_that_cannot_be_used_does_not_matter_here(server, open_at, kit, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks9://127.0.0.1:9")
    server.routes[kit.resolve] = kit.send(200, kit.answer)
    open_at(server.url).resolve(kit.one)


_NONSENSE = [
    b"",
    b"\x05",
    b"\x05\x00",
    b"\x05\xff",
    b"\x05\x02\x01\x00",
    b"HTTP/1.1 400 \x1b[2J\r\n\r\n",
    bytes(64),
]


# httpcore leaves a connection to the collector when its proxy is no good.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("answer", _NONSENSE)
def test_a_socks_proxy_that_talks_nonsense(open_at, kit, monkeypatch, answer):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("ALL_PROXY", f"socks5://user:sesame@127.0.0.1:{listener.getsockname()[1]}")

        def serve():
            with suppress(OSError):
                while True:
                    end, _ = listener.accept()
                    with end:
                        end.recv(99)
                        end.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        failure = refused(open_at("https://registry.example", timeout=2.0), kit.one, "registry-unavailable")
        listener.shutdown(socket.SHUT_RDWR)

    assert failure.message.isprintable()
    del failure
    gc.collect()


def test_certificates_that_are_not_there(open_at, kit, monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    assert "SSL_CERT_FILE" in refused(open_at("https://127.0.0.1:9"), kit.one, "config-invalid").hint
