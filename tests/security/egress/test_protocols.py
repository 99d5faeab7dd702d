"""What is said over an allowed connection opens no second one: TLS names, and requests to a proxy."""

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from arena.sandbox import Outside
from egress.services import WORD, Service, attack

TLS = "hello.test"


def hello(name: str | None) -> bytes:
    """The first message of a TLS client who wants ``name``."""
    context = ssl.create_default_context()
    context.check_hostname = False
    heard, said = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(heard, said, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return said.read()
    raise AssertionError


GOOD = hello(TLS)


def patched(old: bytes, new: bytes) -> bytes:
    """With other bytes of the same number in it."""
    assert len(old) == len(new)
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def hidden() -> bytes:
    """With an extension for an encrypted name, as long as before."""
    return patched(struct.pack("!HH", 0, len(TLS) + 5), struct.pack("!HH", 0xFE0D, len(TLS) + 5))


BAD = {
    "another name": hello("other.test"),
    "a name below it": hello("sub.hello.test"),
    "a name that ends with it": hello("evilhello.test"),
    "no name": hello(None),
    "an address": hello("127.0.0.1"),
    "a name with a NUL": patched(b"hello.test", b"hello\0test"),
    "a hidden name": hidden(),
    "HTTP": b"GET / HTTP/1.1\r\nHost: hello.test\r\n\r\n",
    "the name, but no TLS": b"hello.test\n" * 100,
    "an alert first": b"\x15\3\3\0\2\1\0" + GOOD,
    "data first": b"\x17\3\3\0\1x" + GOOD,
    "an empty record first": b"\x16\3\1\0\0" + GOOD,
    "another message first": b"\x16\3\1\0\4\0\0\0\0" + GOOD,
    "a hello that never ends": b"\x16\3\1\x40\0\1\0\xff\xff" + bytes(20_000),
    "nothing but an end": b"",
}
FINE = {
    "the name": [GOOD],
    "the name in capitals": [patched(b"hello.test", b"HELLO.test")],
    "byte by byte": [GOOD[at : at + 1] for at in range(len(GOOD))],
    "in two pieces": [GOOD[:60], GOOD[60:]],
    "with more after it": [GOOD + b"more"],
}
SAY = """
import time
end = socket.create_connection(("hello.test", PORT), 5)
said = "end"
try:
    for piece in target["pieces"]:
        end.sendall(bytes.fromhex(piece))
        if len(target["pieces"]) > 1:
            time.sleep(0.0005)
    if not target["fine"]:
        end.shutdown(socket.SHUT_WR)
    said = end.recv(7).decode() or "end"
except OSError as error:
    said = name_of(error)
say([said, control()])
"""


def say(service: Service, pieces: list[bytes], *, fine: bool) -> str:
    """What the service answered to these bytes."""
    outside = service.outside(f"tls:{service.rule(TLS)}", **{TLS: ["127.0.0.1"]})
    target = {"pieces": [piece.hex() for piece in pieces], "fine": fine}
    said, control = attack(SAY, outside, service.port, target=target)[0]
    assert control == WORD
    return str(said)


@pytest.mark.parametrize("name", BAD)
def test_a_tls_rule_is_for_that_name_only(name: str, service: Service) -> None:
    before = len(service.arrivals)
    assert say(service, [BAD[name]], fine=False) in {"ECONNRESET", "EPIPE", "ENOTCONN", "end"}
    assert len(service.arrivals) == before + 1, "the control alone"


@pytest.mark.parametrize("name", FINE)
def test_the_very_name_is_let_through(name: str, service: Service) -> None:
    assert say(service, FINE[name], fine=True) == WORD


@contextmanager
def proxy() -> Iterator[tuple[int, list[bytes]]]:
    """The host's own, which answers each request with the word; what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    request = b""
                    while b"\r\n\r\n" not in request and (data := connection.recv(4096)):
                        request += data
                    asked.append(request)
                    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + WORD.encode())

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], asked
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


ASK_PROXY = """
said = [reach("allowed.test", 443), reach("allowed.test", 80), reach("denied.test", 443)]
for host in ("127.0.0.1", "169.254.169.254", "55.198.0.1"):
    said.append(reach(host, PORT))
say(said)
"""


def test_a_proxy_of_the_hosts_is_asked_for_what_is_allowed_only() -> None:
    with proxy() as (port, asked):
        environment = {"HTTPS_PROXY": f"http://127.0.0.1:{port}"}
        outside = Outside(["allowed.test:443"], names={}, environment=environment)
        said, _ = attack(ASK_PROXY, outside, port)
    assert said[0] == WORD, "the control: there is a way, by way of the proxy"
    assert set(said[1:]) <= {"ECONNREFUSED", "gaierror", "ENETUNREACH"}
    assert len(asked) == 1
    assert asked[0].startswith(b"CONNECT allowed.test:443 HTTP/1.1\r\n")
    assert outside.asked == []


CONNECTS = """
found = []
for line in ("CONNECT 127.0.0.1:%d", "GET http://127.0.0.1:%d/", "CONNECT other.test:%d"):
    end = socket.create_connection(("control.test", PORT), 5)
    end.recv(7, socket.MSG_WAITALL)
    sent = (line % target["victim"] + " HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n").encode()
    end.sendall(sent)
    found.append(end.recv(len(sent), socket.MSG_WAITALL) == sent)
for start in (b"\\4\\1" + struct.pack("!H", target["victim"]) + bytes([127, 0, 0, 1, 0]), b"\\5\\1\\0"):
    end = socket.create_connection(("control.test", PORT), 5)
    end.recv(7, socket.MSG_WAITALL)
    end.sendall(start)
    found.append(end.recv(len(start), socket.MSG_WAITALL) == start)
say(found)
"""


def test_a_request_for_another_host_is_only_bytes(service: Service, victim: Service) -> None:
    """CONNECT, an absolute URL, SOCKS 4 and 5: the allowed service gets them, and repeats them."""
    said, _ = attack(CONNECTS, service.outside(), service.port, target={"victim": victim.port})
    assert said == [True] * 5
    assert victim.arrivals == []
