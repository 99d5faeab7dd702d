"""Requests that attack, through the whole program: a status or a close, and the server never sees them."""

import json
import socket
from collections.abc import Iterator

import pytest
from kit import programs
from kit.command import Mcp
from kit.endpoint import Endpoint

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost:8080\r\n\r\n"
BODY = b'{"jsonrpc":"2.0"}'

# What stands after the request line, what follows the head, and the status that answers it.
HEADS = {
    "length-and-chunks": ("Content-Length: 5\r\nTransfer-Encoding: chunked", b"0\r\n\r\n" + SMUGGLED, 400),
    "two-lengths": ("Content-Length: 0\r\nContent-Length: 46", SMUGGLED, 400),
    "signed-length": ("Content-Length: +5", b"hello", 400),
    "unknown-coding": ("Transfer-Encoding: xchunked", b"0\r\n\r\n" + SMUGGLED, 501),
    "chunked-twice": ("Transfer-Encoding: chunked, chunked", b"0\r\n\r\n" + SMUGGLED, 501),
    "blank-before-colon": ("Content-Length : 5", b"hello", 400),
    "folded": ("X-A: b\r\n Transfer-Encoding: chunked", b"", 400),
    "bare-line-feed": ("X-A: b\nContent-Length: 5", b"hello", 400),
    "nul": ("X-A: b\0c", b"", 400),
    "large": ("X-A: " + "a" * 200_000, b"", 431),
    "many": ("\r\n".join(f"X-{n}: {'a' * 1000}" for n in range(200)), b"", 431),
    "bad-chunk": ("Transfer-Encoding: chunked", b"zz\r\n\r\n" + SMUGGLED, 400),
}


@pytest.fixture(scope="module")
def endpoint(listening_folder: tuple[str, str]) -> Iterator[Endpoint]:
    with Endpoint(Mcp(*listening_folder), programs.listening().reference) as running:
        yield running


def send(endpoint: Endpoint, data: bytes, *, half_closed: bool = False) -> bytes:
    """All that comes back until the end, or until nothing more comes for a while."""
    with socket.create_connection(("127.0.0.1", endpoint.port), 20) as client:
        try:
            client.sendall(data)
            if half_closed:
                client.shutdown(socket.SHUT_WR)
        except OSError:
            # It was refused before it was read.
            pass
        got = b""
        try:
            while chunk := client.recv(1 << 16):
                got += chunk
        except ConnectionResetError:
            pass
        return got


def seen(endpoint: Endpoint) -> list[str]:
    host = f"Host: 127.0.0.1:{endpoint.port}\r\nConnection: close\r\n\r\n".encode()
    answer = send(endpoint, b"GET /seen HTTP/1.1\r\n" + host)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    return list(json.loads(answer.partition(b"\r\n\r\n")[2]))


def request(endpoint: Endpoint, fields: str, line: str = "POST /mcp HTTP/1.1") -> bytes:
    return f"{line}\r\nHost: localhost:{endpoint.port}\r\n{fields}\r\n\r\n".encode()


@pytest.mark.parametrize("name", HEADS)
def test_a_malformed_request_is_answered_and_not_passed_on(endpoint: Endpoint, name: str) -> None:
    fields, rest, status = HEADS[name]
    before = seen(endpoint)
    answer = send(endpoint, request(endpoint, fields) + rest)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:300]
    assert answer.count(b"HTTP/1.1 ") == 1, answer[:600]
    assert seen(endpoint) == before


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET http://127.0.0.1:22/ HTTP/1.1", 400),
        ("CONNECT 127.0.0.1:22 HTTP/1.1", 501),
        ("TRACE / HTTP/1.1", 501),
        ("GET /" + "a" * 100_000 + " HTTP/1.1", 414),
        ("GET / HTTP/2.0", 505),
        ("\x16\x03\x01\x02\x00\x01\x00", 400),
    ],
)
def test_a_request_line_that_is_none_of_ours(endpoint: Endpoint, line: str, status: int) -> None:
    before = seen(endpoint)
    answer = send(endpoint, request(endpoint, "Connection: close", line))
    statuses = {400, 405, status}
    assert int(answer[9:12]) in statuses, answer[:300]
    assert seen(endpoint) == before


@pytest.mark.parametrize("host", ["", "Host: evil.example\r\n", "Host: localhost:1\r\nHost: evil\r\n"])
def test_the_host_has_to_be_ours(endpoint: Endpoint, host: str) -> None:
    before = seen(endpoint)
    answer = send(
        endpoint, f"POST /mcp HTTP/1.1\r\n{host}Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
    )
    assert answer[9:12] in {b"400", b"403"}, answer[:300]
    assert seen(endpoint) == before


def test_garbage_after_a_good_request_is_not_a_second_one(endpoint: Endpoint) -> None:
    before = seen(endpoint)
    good = request(endpoint, f"Content-Length: {len(BODY)}", "POST /echo HTTP/1.1") + BODY
    answer = send(endpoint, good + b"\x00\x01 /smuggled\r\n\r\n" + SMUGGLED)
    assert answer.startswith(b"HTTP/1.1 200"), answer[:300]
    assert answer.count(b"HTTP/1.1 ") <= 2
    assert seen(endpoint) == [*before, "POST /echo"]


def test_a_good_request_behind_a_good_one_is_passed_on(endpoint: Endpoint) -> None:
    """Without this the tests above could pass because nothing is."""
    before = seen(endpoint)
    first = request(endpoint, f"Content-Length: {len(BODY)}", "POST /one HTTP/1.1") + BODY
    second = request(endpoint, "Connection: close", "GET /two HTTP/1.1")
    assert send(endpoint, first + second).count(b"HTTP/1.1 ") == 2
    assert seen(endpoint) == [*before, "POST /one", "GET /two"]


def test_half_a_head_and_half_a_body_never_arrive(endpoint: Endpoint) -> None:
    before = seen(endpoint)
    head = request(endpoint, "Content-Length: 50")
    assert not send(endpoint, head[:-4], half_closed=True).startswith(b"HTTP/1.1 200")
    assert not send(endpoint, head + b"half", half_closed=True).startswith(b"HTTP/1.1 200")
    assert [line for line in seen(endpoint) if line not in before and "{" in line] == []


def test_whoever_is_slow_keeps_nobody_waiting(endpoint: Endpoint) -> None:
    slow = [socket.create_connection(("127.0.0.1", endpoint.port), 20) for _ in range(50)]
    try:
        for client in slow:
            client.sendall(b"POST /mcp HTTP/1.1\r\nHo")
        seen(endpoint)
    finally:
        for client in slow:
            client.close()
