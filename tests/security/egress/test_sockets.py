"""Ways to reach a service other than a plain connect(2); each of them works without a sandbox."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from arena.sandbox import attempt_inside, attempt_outside
from egress.services import CONTROL, WORD, Service

# Each returns what the service at target (host, port) said.
WAYS = {
    "MSG_FASTOPEN": """
        import socket
        end = socket.socket()
        end.sendto(b"x", 0x20000000, tuple(target))
        return end.recv(7, socket.MSG_WAITALL).decode()
    """,
    "TCP_FASTOPEN_CONNECT": """
        import socket
        end = socket.socket()
        end.settimeout(3)
        end.setsockopt(socket.IPPROTO_TCP, 30, 1)
        end.connect(tuple(target))
        end.sendall(b"x")
        return end.recv(7, socket.MSG_WAITALL).decode()
    """,
    "sendmsg with an address": """
        import socket
        end = socket.socket()
        end.sendmsg([b"x"], [], 0x20000000, tuple(target))
        return end.recv(7, socket.MSG_WAITALL).decode()
    """,
    "sendmmsg with an address": """
        import socket, struct
        end = socket.socket()
        name = ctypes.create_string_buffer(
            struct.pack("=H", 2) + struct.pack("!H", target[1]) + socket.inet_aton(target[0]) + bytes(8))
        data = ctypes.create_string_buffer(b"x")
        vector = struct.pack("=QQ", ctypes.addressof(data), 1)
        held = ctypes.create_string_buffer(vector)
        message = ctypes.create_string_buffer(struct.pack(
            "=QI4xQQQQI4xI4x", ctypes.addressof(name), 16, ctypes.addressof(held), 1, 0, 0, 0, 0))
        if libc.sendmmsg(end.fileno(), message, 1, 0x20000000) < 0:
            raise OSError(ctypes.get_errno(), "sendmmsg")
        return end.recv(7, socket.MSG_WAITALL).decode()
    """,
    "without waiting": """
        import select, socket
        end = socket.socket()
        end.setblocking(False)
        end.connect_ex(tuple(target))
        poll = select.poll()
        poll.register(end, select.POLLIN)
        poll.poll(3000)
        return end.recv(7).decode()
    """,
    "AF_UNSPEC, and again": """
        import socket, struct
        end = socket.socket()
        end.settimeout(3)
        try:
            end.connect(("127.0.0.1", 1))
        except OSError:
            pass
        libc.connect(end.fileno(), struct.pack("=H14x", 0), 16)
        end.connect(tuple(target))
        return end.recv(7, socket.MSG_WAITALL).decode()
    """,
    "MPTCP": """
        import socket
        end = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
        end.settimeout(3)
        end.connect(tuple(target))
        return end.recv(7, socket.MSG_WAITALL).decode()
    """,
    "an IPv6 socket": """
        import socket
        end = socket.socket(socket.AF_INET6)
        end.settimeout(3)
        end.connect(("::ffff:" + target[0], target[1], 77, 0))
        return end.recv(7, socket.MSG_WAITALL).decode()
    """,
    "a bound source": """
        import socket
        end = socket.socket()
        end.settimeout(3)
        end.bind(("127.0.0.1", 0))
        end.connect(tuple(target))
        return end.recv(7, socket.MSG_WAITALL).decode()
    """,
    "a route in the packet": """
        import socket
        end = socket.socket()
        end.settimeout(3)
        end.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 16)
        end.setsockopt(socket.SOL_SOCKET, 5, 1)
        end.connect(tuple(target))
        return end.recv(7, socket.MSG_WAITALL).decode()
    """,
    "from a thread": """
        import _thread, socket
        end, done = socket.socket(), _thread.allocate_lock()
        said = []
        def work():
            try:
                end.settimeout(3)
                end.connect(tuple(target))
                said.append(end.recv(7, socket.MSG_WAITALL).decode())
            except OSError as error:
                said.append(error)
            done.release()
        done.acquire()
        _thread.start_new_thread(work, ())
        done.acquire()
        if isinstance(said[0], OSError):
            raise said[0]
        return said[0]
    """,
    "a high descriptor": """
        import os, resource, socket
        end = socket.socket()
        last = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1
        os.dup2(end.fileno(), min(last, 65535))
        end = socket.socket(fileno=min(last, 65535))
        end.settimeout(3)
        end.connect(tuple(target))
        return end.recv(7, socket.MSG_WAITALL).decode()
    """,
    "a size of four gigabytes and sixteen": """
        import socket, struct
        end = socket.socket()
        name = struct.pack("=H", 2) + struct.pack("!H", target[1]) + socket.inet_aton(target[0]) + bytes(8)
        call(42 if os.uname().machine == "x86_64" else 203, end.fileno(), name, (1 << 32) + 16)
        end.settimeout(3)
        return end.recv(7, socket.MSG_WAITALL).decode()
    """,
    "through a socket that was passed": """
        import array, socket
        ours, theirs = socket.socketpair()
        end = socket.socket()
        socket.send_fds(ours, [b"x"], [end.fileno()])
        end.close()
        end = socket.socket(fileno=socket.recv_fds(theirs, 1, 1)[1][0])
        end.settimeout(3)
        end.connect(tuple(target))
        return end.recv(7, socket.MSG_WAITALL).decode()
    """,
}
# In a child of the server's, which may have some.
FORKED = """
    import socket
    read, write = os.pipe()
    if os.fork() == 0:
        try:
            end = socket.create_connection(tuple(target), 3)
            said = end.recv(7, socket.MSG_WAITALL)
        except OSError as error:
            said = str(error.errno).encode()
        os.write(write, said)
        os._exit(0)
    os.wait()
    said = os.read(read, 99).decode()
    if said.isdigit():
        raise OSError(int(said), "")
    return said
"""


@pytest.mark.parametrize("way", WAYS)
def test_another_way_leads_nowhere_either(way: str, service: Service, victim: Service) -> None:
    target = ("127.0.0.1", victim.port)
    said = attempt_inside(WAYS[way], target, outside=service.outside(victim.rule(CONTROL)))
    assert said.refused in {"ECONNREFUSED", "ENETUNREACH", "EINVAL", "EPROTONOSUPPORT"}
    assert victim.arrivals == []
    assert attempt_outside(WAYS[way], target).got == WORD


@pytest.mark.parametrize("way", [way for way in WAYS if "FASTOPEN" not in way and "address" not in way])
def test_the_same_way_leads_to_what_is_open(way: str, victim: Service) -> None:
    """The other control: what is asked for by connect(2) is found by all of them."""
    target = ("127.0.0.1", victim.port)
    assert attempt_inside(WAYS[way], target, outside=victim.outside()).got == WORD


def test_a_child_has_the_same_walls(service: Service, victim: Service) -> None:
    target = ("127.0.0.1", victim.port)
    assert (
        attempt_inside(FORKED, target, outside=service.outside(), subprocess=True).refused == "ECONNREFUSED"
    )
    assert victim.arrivals == []
    assert attempt_inside(FORKED, target, outside=victim.outside(), subprocess=True).got == WORD


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
