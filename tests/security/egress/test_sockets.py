"""Ways to reach a service other than a plain connect(2); each of them works without a sandbox."""

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
