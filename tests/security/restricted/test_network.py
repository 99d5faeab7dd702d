"""No socket leads anywhere, though the host's network is right there."""

import os
import socket

import pytest
from arena.sandbox import attempt_inside, attempt_outside, run_inside

from mcp_client.errors import MCPError

FAMILIES = {"unix": 1, "inet": 2, "inet6": 10, "netlink": 16, "packet": 17, "alg": 38, "vsock": 40}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET]
)
def test_no_family_has_sockets(family: str, kind: int) -> None:
    body = "import socket; socket.socket(*target).close(); return True"
    assert attempt_inside(body, (FAMILIES[family], kind)).refused == "EPERM"


def test_a_service_on_loopback_is_out_of_reach() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        body = "import socket; socket.create_connection(('127.0.0.1', target), 1); return True"
        assert attempt_inside(body, server.getsockname()[1]).refused == "EPERM"
        assert attempt_outside(body, server.getsockname()[1]).got is True


@pytest.mark.parametrize("abstract", [False, True])
def test_a_local_service_is_out_of_reach(abstract: bool, home: str) -> None:
    address = f"\0mcp-{os.getpid()}" if abstract else f"{home}/service"
    body = """
        import socket
        ours, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        return ours.sendto(b'x', target)
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service:
        service.bind(address)
        assert attempt_inside(body, address).refused in {"EPERM", "ENOSYS"}
        assert attempt_outside(body, address).got == 1


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_a_pair_works_and_leads_nowhere_else(kind: int, home: str) -> None:
    body = """
        import socket
        ours, theirs = socket.socketpair(socket.AF_UNIX, target[1])
        ours.send(b'x')
        assert theirs.recv(1) == b'x'
        ours.connect(target[0])
    """
    with socket.socket(socket.AF_UNIX, kind) as service:
        service.bind(f"{home}/service")
        service.listen()
        assert attempt_inside(body, (f"{home}/service", kind)).refused == "EPERM"


def test_a_datagram_socket_as_standard_input_is_refused() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs, pytest.raises(MCPError, match="socket"):
        run_inside("print('started')", standard={0: ours.fileno()})
