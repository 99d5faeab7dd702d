"""The proxy for servers that have no network of their own: who may use it, for what, and what it answers."""

import socket
import subprocess

import pytest

SECRET = "00112233445566778899aabbccddeeff"
# The user is mcp.
SHOWN = "Proxy-Authorization: Basic bWNwOjAwMTEyMjMzNDQ1NTY2Nzc4ODk5YWFiYmNjZGRlZWZm"


@pytest.fixture
def proxy(running):
    """Start an engine with these rules and names; its place as a proxy, and the engine."""

    def start(*allow, names=None):
        made = running(allow, names=names)
        listener = socket.create_server(("127.0.0.1", 0))
        place = listener.getsockname()
        end = socket.socket(fileno=listener.detach())
        made.call(lambda: made.engine.serve_proxy(end, SECRET))
        return place, made

    return start


@pytest.fixture
def echoing(host):
    """A server on loopback that answers what it hears; its port, and what it heard."""
    heard = []

    def serve(end):
        while data := end.recv(65536):
            heard.append(data)
            end.sendall(data)

    return host(serve).port, heard


def ask(place, *lines, more=b"", whole=True):
    """Say a head of ``lines`` to the proxy; what comes back, to the end or at least something."""
    with socket.create_connection(place, 10) as end:
        end.sendall("\r\n".join((*lines, "", "")).encode() + more)
        answer = b""
        while data := end.recv(65536):
            answer += data
            if not whole:
                break
        return answer


def tunnel(place, target):
    end = socket.create_connection(place, 10)
    end.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{SHOWN}\r\n\r\n".encode())
    answer = b""
    try:
        while b"\r\n\r\n" not in answer and (data := end.recv(4096)):
            answer += data
    except ConnectionResetError:
        # As what fails after it was allowed ends everywhere.
        answer = b""
    return end, answer


def test_a_tunnel_carries_both_directions(proxy, echoing):
    port, _ = echoing
    place, running = proxy(f"127.0.0.1:{port}")
    end, answer = tunnel(place, f"127.0.0.1:{port}")
    with end:
        assert answer.startswith(b"HTTP/1.1 200 ")
        end.sendall(b"hello")
        assert end.recv(5, socket.MSG_WAITALL) == b"hello"

    record = running.record()[f"127.0.0.1:{port}"]
    assert record["allowed"] == 1


def test_a_name_leads_to_the_address_that_was_checked(proxy, echoing):
    """127.0.0.1 has a rule; without one, a name that leads there is refused (the second name)."""
    port, _ = echoing
    names = {"api.example.com": ["127.0.0.1"], "inner.example.com": ["10.0.0.1"]}
    place, running = proxy("*.example.com", f"127.0.0.1:{port}", names=names)
    answers = []
    for name in ("API.example.com.", "inner.example.com"):
        end, answer = tunnel(place, f"{name}:{port}")
        end.close()
        answers.append(answer[:12])

    assert answers == [b"HTTP/1.1 200", b""]
    assert running.asked == ["api.example.com", "inner.example.com"]


@pytest.mark.parametrize("target", ["other.example.net:443", "10.1.2.3:443", "127.0.0.1:1", "[::1]:80"])
def test_what_no_rule_allows_is_answered_with_why(proxy, target):
    place, running = proxy("api.example.com")
    answer = ask(place, f"CONNECT {target} HTTP/1.1", SHOWN)

    assert answer.startswith(b"HTTP/1.1 403 ")
    assert running.asked == [], "no name was looked up"
    assert len(running.denials) == 1


@pytest.mark.parametrize(
    "line",
    [
        "Host: api.example.com",
        "Proxy-Authorization: Basic bWNwOndyb25n",
        "Proxy-Authorization: Bearer 00112233445566778899aabbccddeeff",
        "Authorization: Basic bWNwOjAwMTEyMjMzNDQ1NTY2Nzc4ODk5YWFiYmNjZGRlZWZm",
        "Proxy-Authorization: Basic ",
    ],
)
def test_without_the_secret_nothing_is_reached(proxy, echoing, line):
    """Every program of this machine can connect here; only the server knows what to show."""
    port, heard = echoing
    place, running = proxy(f"127.0.0.1:{port}")
    answer = ask(place, f"CONNECT 127.0.0.1:{port} HTTP/1.1", line)

    assert answer.startswith(b"HTTP/1.1 407 ")
    assert b"Proxy-Authenticate: Basic" in answer
    assert (running.record(), heard) == ({}, [])


@pytest.mark.parametrize(
    "line",
    [
        "GET / HTTP/1.1",
        "GET https://api.example.com/ HTTP/1.1",
        "CONNECT api.example.com HTTP/1.1",
        "CONNECT api.example.com:0 HTTP/1.1",
        "CONNECT api.example.com:99999 HTTP/1.1",
        "CONNECT [api.example.com]:443 HTTP/1.1",
        "CONNECT a b:443 HTTP/1.1",
        "CONNECT :443 HTTP/1.1",
        "CONNECT 0x7f000001:80 HTTP/1.1",
        "CONNECT 127.1:80 HTTP/1.1",
        "CONNECT \x00.example.com:443 HTTP/1.1",
        "\x16\x03\x01 what is no HTTP",
    ],
)
def test_what_is_no_request_for_a_proxy_is_refused(proxy, line):
    place, running = proxy("*.example.com", "127.0.0.1")
    answer = ask(place, line, SHOWN)

    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 403 ")), answer
    assert running.asked == []


def test_an_endless_head_is_cut(proxy):
    place, running = proxy("api.example.com")
    with socket.create_connection(place, 10) as end:
        try:
            end.sendall(b"X" * (4 << 20))
            left = end.recv(1)
        except OSError:
            left = b""

    assert left == b""
    assert running.record() == {}


def test_plain_http_goes_on_in_its_own_form(proxy, echoing):
    port, heard = echoing
    place, _ = proxy(f"127.0.0.1:{port}")
    line = f"POST http://127.0.0.1:{port}/path?q=1 HTTP/1.1"
    fields = (f"Host: 127.0.0.1:{port}", SHOWN, "Proxy-Connection: keep-alive", "Content-Length: 4")
    answer = ask(place, line, *fields, more=b"body", whole=False)

    assert answer.startswith(b"POST /path?q=1 HTTP/1.1\r\nHost: ")
    said = b"".join(heard)
    assert said.endswith(b"\r\nConnection: close\r\n\r\nbody")
    # The secret stays between the server and us.
    assert b"Proxy" not in said


def test_curl_finds_its_way_by_the_environment(proxy, echoing):
    port, heard = echoing
    place, _ = proxy(f"127.0.0.1:{port}")
    done = subprocess.run(
        ["curl", "-s", "--max-time", "5", "--proxytunnel", f"http://127.0.0.1:{port}/here"],
        env={"http_proxy": f"http://mcp:{SECRET}@127.0.0.1:{place[1]}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        timeout=30,
        check=False,
    )

    assert b"".join(heard).startswith(b"GET /here HTTP/1.1"), done
