"""Other resolvers are out of reach, and whoever floods or blocks ours stops nobody but himself."""

import socket
from collections.abc import Iterator
from contextlib import closing
from textwrap import dedent

import pytest
from arena.sandbox import attempt_inside, attempt_outside
from egress.queries import ask
from egress.services import CONTROL, WORD, Service, attack

SEND = """
    import socket
    with socket.socket(socket.AF_INET6 if ":" in target[0] else socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.settimeout(0.2)
        end.sendto(bytes.fromhex(target[2]), (target[0], target[1]))
        return end.recv(4096).hex()
"""
QUERY = ask("exact.test").hex()


@pytest.fixture
def resolver() -> Iterator[socket.socket]:
    """A resolver of the host's, on every address."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as end:
        end.bind(("0.0.0.0", 0))
        end.settimeout(5)
        yield end


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.53", "127.0.0.11", "0.0.0.0"])
@pytest.mark.parametrize("rules", ["its name", "its address"])
def test_the_hosts_resolver_hears_nothing(
    address: str, rules: str, resolver: socket.socket, service: Service
) -> None:
    """Not even with a rule for that very address and port: rules are about TCP."""
    port = resolver.getsockname()[1]
    rule = f"{CONTROL}:{port}" if rules == "its name" or address == "0.0.0.0" else f"{address}:{port}"
    said = attempt_inside(SEND, (address, port, QUERY), outside=service.outside(rule))
    assert said.refused in {"ECONNREFUSED", "TimeoutError", "ETIMEDOUT", "ENETUNREACH"}
    resolver.setblocking(False)
    with pytest.raises(BlockingIOError):
        resolver.recv(4096)
    attempt_outside(SEND, (address, port, QUERY))
    resolver.settimeout(5)
    assert resolver.recv(4096).hex() == QUERY


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "169.254.169.253", "192.0.2.53", "2001:db8::53"])
def test_a_resolver_elsewhere_is_unreachable_at_once(address: str, service: Service) -> None:
    outside = service.outside()
    refused = attempt_inside(SEND, (address, 53, QUERY), outside=outside).refused
    assert refused in {"ENETUNREACH", "EADDRNOTAVAIL"}
    # The control: the same message to our own service is answered, for all that it refuses.
    answer = attempt_inside(SEND, ("55.198.0.1", 53, QUERY), outside=outside).got
    assert answer.startswith(QUERY[:4])


@pytest.mark.parametrize("address", ["55.198.0.2", "55.198.1.0", "55.198.255.255", "2e00::2"])
def test_datagrams_to_other_synthetic_addresses_go_nowhere(address: str, service: Service) -> None:
    refused = attempt_inside(SEND, (address, 53, QUERY), outside=service.outside()).refused
    assert refused in {"ECONNREFUSED", "TimeoutError", "ETIMEDOUT"}


def test_without_rules_there_is_no_name_service() -> None:
    assert attempt_inside(SEND, ("55.198.0.1", 53, QUERY)).refused == "ENETUNREACH"
    assert "198.18" not in attempt_inside("return open('/etc/resolv.conf').read()").got


# Each ends with what the control came to, while or after our name service was kept busy.
BUSY = {
    "byte by byte": """
        query = struct.pack("!H", len(good)) + good
        with socket.create_connection(("55.198.0.1", 53), 5) as end:
            for byte in query:
                end.sendall(bytes([byte]))
                time.sleep(0.001)
            size = int.from_bytes(end.recv(2, socket.MSG_WAITALL), "big")
            assert end.recv(size, socket.MSG_WAITALL)[3] & 15 == 0
    """,
    "a hundred streams that ask nothing": """
        held = [socket.create_connection(("55.198.0.1", 53), 5) for _ in range(100)]
    """,
    "streams that stop in the middle": """
        held = [socket.create_connection(("55.198.0.1", 53), 5) for _ in range(30)]
        for end in held:
            try:
                end.sendall(b"\\xff\\xff" + bytes(100))
            except OSError:
                pass
    """,
    "a stream that reads no answers": """
        end = socket.create_connection(("55.198.0.1", 53), 5)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        end.settimeout(1)
        query = struct.pack("!H", len(good)) + good
        sent = 0
        until = time.monotonic() + 1.5
        try:
            while time.monotonic() < until:
                end.sendall(query * 100)
        except OSError:
            pass
    """,
    "a message of 65535 bytes": """
        end = socket.create_connection(("55.198.0.1", 53), 5)
        try:
            end.sendall(b"\\xff\\xff" + bytes(65535))
            assert not end.recv(10)
        except OSError:
            pass
    """,
    "a flood of datagrams": """
        end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        end.setblocking(False)
        end.connect(("55.198.0.1", 53))
        until = time.monotonic() + 1
        while time.monotonic() < until:
            try:
                end.send(good)
            except OSError:
                pass
    """,
    "a flood of names": """
        end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        end.connect(("55.198.0.1", 53))
        for number in range(600):
            label = b"%08x" % number
            end.send(good[:12] + b"\\x08" + label + b"\\4evil\\4test\\0\\0\\1\\0\\1")
            if not number % 50:
                time.sleep(0.1)
    """,
    "a socket on its port": """
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            for host in ("55.198.0.1", "0.0.0.0"):
                end = socket.socket(socket.AF_INET, kind)
                end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                try:
                    end.bind((host, 53))
                    raise SystemExit("bound " + host)
                except OSError as error:
                    assert name_of(error) in ("EADDRINUSE", "EACCES")
    """,
}


@pytest.mark.parametrize("way", BUSY)
def test_a_busy_name_service_still_answers(way: str, service: Service) -> None:
    program = 'good = bytes.fromhex(target["good"])\n' + dedent(BUSY[way]) + "\nsay(control())"
    outside = service.outside()
    said, inside = attack(program, outside, service.port, target={"good": ask(CONTROL).hex()})
    assert said == WORD, inside
    assert outside.asked == [CONTROL]
    # However many names there were, what is kept of them is bounded.
    assert len(inside.network) < 300
    assert len(outside.denials) < 20
