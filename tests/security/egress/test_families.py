"""Other families of sockets, and those that need no connection."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from arena.sandbox import attempt_inside, attempt_outside
from egress.services import CONTROL, Service

FAMILIES = {
    "raw IPv4": (2, 3, 255),
    "raw TCP": (2, 3, 6),
    "raw IPv6": (10, 3, 58),
    "packet": (17, 3, 768),
    "packet of datagrams": (17, 2, 768),
    "old packet": (2, 10, 768),
    "VSOCK": (40, 1, 0),
    "VSOCK datagrams": (40, 2, 0),
    "AF_ALG": (38, 5, 0),
    "RDS": (21, 5, 0),
    "TIPC": (30, 1, 0),
    "Bluetooth": (31, 3, 1),
    "CAN": (29, 3, 1),
    "KCM": (41, 5, 0),
    "XDP": (44, 3, 0),
    "SMC": (43, 1, 0),
    "QRTR": (42, 2, 0),
    "AppleTalk": (5, 2, 0),
    "X.25": (9, 5, 0),
    "key management": (15, 3, 2),
    "RxRPC": (33, 2, 2),
    "netfilter": (16, 3, 12),
    "uevents": (16, 3, 15),
    "audit": (16, 3, 9),
    "socket diagnosis": (16, 3, 4),
    "generic netlink": (16, 3, 16),
    "connector": (16, 3, 11),
    "crypto": (16, 3, 21),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_another_family_does_not_exist(name: str, service: Service) -> None:
    """As root the control is that this kernel has some of them, which the last test of this group says."""
    body = "import socket; return socket.socket(*target).fileno()"
    said = attempt_inside(body, FAMILIES[name], outside=service.outside())
    assert said.refused in {"ENOSYS", "EPERM", "EACCES", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EINVAL"}


def test_some_of_these_families_exist_without_a_sandbox() -> None:
    body = """
        import socket
        found = []
        for name, arguments in target.items():
            try:
                socket.socket(*arguments).close()
                found.append(name)
            except OSError:
                pass
        return found
    """
    assert {"netfilter", "socket diagnosis", "uevents"} <= set(attempt_outside(body, FAMILIES).got)


@contextmanager
def unix_service(kind: int, address: str) -> Iterator[list[str]]:
    """A service of the host's on a unix socket; what it heard of."""
    heard: list[str] = []
    with ExitStack() as stack:
        end = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
        end.bind(address)
        if kind == socket.SOCK_DGRAM:

            def serve() -> None:
                heard.append(end.recv(9).decode())
        else:
            end.listen()

            def serve() -> None:
                connection, _ = end.accept()
                with connection:
                    heard.append(connection.recv(9).decode())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield heard
        thread.join(10)


SAY_UNIX = """
    import socket
    end = socket.socket(socket.AF_UNIX, target[0])
    address = bytes.fromhex(target[1])
    end.connect(address)
    end.send(b"heard")
    return True
"""


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
@pytest.mark.parametrize("place", ["abstract", "path", "in /tmp"])
def test_a_unix_socket_of_the_hosts_is_out_of_reach(
    kind: int, place: str, service: Service, tmp_path: Any
) -> None:
    """Abstract names belong to the network namespace, paths to the mounts."""
    paths = {"abstract": f"\0attacked-{os.getpid()}-{kind}", "path": f"{tmp_path}/service"}
    address = paths.get(place, f"/tmp/attacked-{os.getpid()}-{kind}")
    target = (kind, address.encode().hex())
    try:
        with unix_service(kind, address) as heard:
            refused = attempt_inside(SAY_UNIX, target, outside=service.outside()).refused
            assert refused in {"ECONNREFUSED", "ENOENT"}
            assert heard == []
            assert attempt_outside(SAY_UNIX, target).got is True
        assert heard == ["heard"]
    finally:
        if place == "in /tmp":
            os.unlink(address)


DATAGRAM = """
    import socket
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, target[2]) as end:
        for _ in range(3):
            try:
                end.sendto(b"x", tuple(target[:2]))
            except ConnectionRefusedError:
                pass
        end.connect(tuple(target[:2]))
        end.send(b"x")
    return True
"""


@pytest.mark.parametrize("protocol", [0, 136], ids=["UDP", "UDP-Lite"])
@pytest.mark.parametrize("open_to", ["nobody", "the address", "the name"])
def test_datagrams_stay_inside_even_where_tcp_is_open(open_to: str, protocol: int, service: Service) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, protocol) as end:
        end.bind(("127.0.0.1", 0))
        end.settimeout(5)
        port = end.getsockname()[1]
        rules = {"nobody": (), "the address": (f"127.0.0.1:{port}",), "the name": (f"{CONTROL}:{port}",)}
        attempt_inside(DATAGRAM, ("127.0.0.1", port, protocol), outside=service.outside(*rules[open_to]))
        end.setblocking(False)
        with pytest.raises(BlockingIOError):
            end.recv(9)
        end.settimeout(5)
        attempt_outside(DATAGRAM, ("127.0.0.1", port, protocol))
        assert end.recv(9) == b"x"
