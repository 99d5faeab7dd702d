"""Default deny: an empty network namespace, whatever the server tries."""

import os
import socket
import tempfile
import threading
from collections.abc import Iterator

import pytest
from arena.sandbox import attempt_inside, attempt_outside

from mcp_client.errors import MCPError


@pytest.fixture
def listener() -> Iterator[int]:
    """A TCP service of the host on every address; it answers each connection with one word."""
    with socket.create_server(("0.0.0.0", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connection.sendall(b"reached")
                connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


CONNECT = """
    import socket
    with socket.create_connection((target[0], target[1]), 5) as connection:
        return connection.recv(99).decode()
"""


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.1", "0.0.0.0", "localhost", "2130706433", "::ffff:127.0.0.1"]
)
def test_the_hosts_loopback_is_another_one(address: str, listener: int) -> None:
    assert attempt_inside(CONNECT, (address, listener)).refused in {
        "ECONNREFUSED",
        "ENETUNREACH",
        "EAI_NONAME",
        "gaierror",
    }
    if address != "::ffff:127.0.0.1":
        assert attempt_outside(CONNECT, (address, listener)).got == "reached"


@pytest.mark.parametrize("address", ["169.254.169.254", "10.0.0.1", "192.0.2.1", "8.8.8.8", "2001:db8::1"])
def test_every_other_address_is_unreachable_at_once(address: str) -> None:
    assert attempt_inside(CONNECT, (address, 80)).refused in {"ENETUNREACH", "EADDRNOTAVAIL"}


def test_there_is_no_interface_but_loopback_and_it_works() -> None:
    assert attempt_inside("import socket; return [name for _, name in socket.if_nameindex()]").got == ["lo"]
    body = """
        import socket
        with socket.create_server(('127.0.0.1', 0)) as server:
            with socket.create_connection(server.getsockname()[:2], 5) as client:
                client.sendall(b'own loopback')
                return server.accept()[0].recv(99).decode()
    """
    assert attempt_inside(body).got == "own loopback"


def test_datagrams_go_nowhere() -> None:
    body = """
        import socket
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
            return datagram.sendto(b'x', (target, 53))
    """
    assert attempt_inside(body, "192.0.2.1").refused == "ENETUNREACH"


@pytest.mark.parametrize("kind", ["SOCK_RAW", "SOCK_PACKET"])
def test_raw_sockets_are_refused(kind: str) -> None:
    body = "import socket; return socket.socket(socket.AF_INET, getattr(socket, target, 10), 1).fileno()"
    assert attempt_inside(body, kind).refused in {
        "EPERM",
        "EACCES",
        "EPROTONOSUPPORT",
        "EINVAL",
        "ESOCKTNOSUPPORT",
    }


ASK = """
    import socket
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(target if target[0] == '/' else chr(0) + target)
        return client.recv(99).decode()
"""


@pytest.mark.parametrize("kind", ["abstract", "path"])
def test_sockets_of_the_hosts_services_are_not_there(kind: str) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        name = os.path.join(folder, "service") if kind == "path" else f"mcp-test-{os.getpid()}"
        server.bind(name if kind == "path" else "\0" + name)
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            connection.sendall(b"reached")
            connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert attempt_inside(ASK, name).refused in {"ECONNREFUSED", "ENOENT"}
        assert attempt_outside(ASK, name).got == "reached"
        thread.join()


def test_shared_memory_of_the_host_is_not_there() -> None:
    number = 0x6D637000 + os.getpid() % 4096
    body = "result = libc.shmget(target, 0, 0); return result if result >= 0 else call(-1)"
    made = attempt_outside("return libc.shmget(target, 4096, 0o1600)", number).got
    try:
        assert attempt_outside(body, number).got == made
        assert attempt_inside(body, number).refused == "ENOSYS"
    finally:
        attempt_outside("return libc.shmctl(target, 0, None)", made)


def test_a_network_socket_is_no_standard_input() -> None:
    """inetd and its like: the socket lives in the host's network namespace, wherever the server is."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        saved = os.dup(0)
        try:
            os.dup2(client.fileno(), 0)
            with pytest.raises(MCPError, match="network socket"):
                attempt_inside("return 1")
        finally:
            os.dup2(saved, 0)
            os.close(saved)
            client.close()


def test_a_unix_socket_is_a_fine_standard_input() -> None:
    """Node's child_process gives one."""
    ours, theirs = socket.socketpair()
    saved = os.dup(0)
    try:
        os.dup2(theirs.fileno(), 0)
        assert attempt_inside("return 1").got == 1
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        ours.close()
        theirs.close()
