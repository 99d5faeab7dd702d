"""The namespace that the server lives in: it can neither change nor leave it, nor find our sockets there."""

import os
import socket
import struct
from typing import Any

import pytest
from arena.sandbox import attempt_inside, attempt_outside
from egress.services import CONTROL, WORD, Service, attack

REQUEST, ACK, CREATE = 1, 4, 0x400


def netlink(kind: int, body: bytes) -> str:
    """A request of rtnetlink(7), as text."""
    return (struct.pack("=IHHII", 16 + len(body), kind, REQUEST | ACK | CREATE, 1, 0) + body).hex()


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value


V4 = bytes([10, 9, 8, 7])
ADDRESS = struct.pack("=BBBBI", 2, 32, 0, 0, 1) + attribute(2, V4) + attribute(1, V4)
ROUTE = (
    struct.pack("=8BI", 2, 32, 0, 0, 255, 4, 254, 2, 0)
    + attribute(1, V4)
    + attribute(4, struct.pack("=I", 1))
)
OURS = struct.pack("=8BI", 2, 16, 0, 0, 255, 4, 254, 2, 0) + attribute(1, socket.inet_aton("55.198.0.0"))
CHANGES = {
    "bring loopback down": netlink(16, struct.pack("=BxHiII", 0, 0, 1, 0, 1)),
    "bring loopback up": netlink(16, struct.pack("=BxHiII", 0, 0, 1, 1, 1)),
    "rename loopback": netlink(16, struct.pack("=BxHiII", 0, 0, 1, 0, 0) + attribute(3, b"evil0\0\0\0")),
    "add a device": netlink(
        16,
        struct.pack("=BxHiII", 0, 0, 0, 0, 0)
        + attribute(3, b"evil0\0\0\0")
        + attribute(18, attribute(1, b"dummy\0\0\0")),
    ),
    "add an address": netlink(20, ADDRESS),
    "remove an address": netlink(21, ADDRESS),
    "add a route": netlink(24, ROUTE),
    "remove our route": netlink(25, OURS),
    "add a rule": netlink(32, struct.pack("=8BI", 2, 0, 0, 0, 254, 0, 0, 1, 0)),
    "add a neighbour": netlink(28, struct.pack("=BxHiHBB", 2, 0, 1, 0x80, 0, 1) + attribute(1, V4)),
    "add a traffic rule": netlink(
        36, struct.pack("=BxHiIII", 0, 0, 1, 0, 0xFFFFFFFF, 0) + attribute(1, b"sfq\0")
    ),
}
CHANGE = """
    import socket, struct
    if target[1] and libc.unshare(0x40000000 | (0x10000000 if os.geteuid() else 0)):
        raise OSError(ctypes.get_errno(), "unshare")
    end = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    end.send(bytes.fromhex(target[0]))
    number = struct.unpack_from("=i", end.recv(4096), 16)[0]
    if number:
        raise OSError(-number, "rtnetlink")
    return True
"""


@pytest.mark.parametrize("change", CHANGES)
def test_the_network_cannot_be_changed(change: str, service: Service) -> None:
    said = attempt_inside(CHANGE, (CHANGES[change], False), outside=service.outside())
    assert said.refused in {"EPERM", "EACCES"}
    # The control: who owns a namespace is not refused for want of a right.
    assert attempt_outside(CHANGE, (CHANGES[change], True)).refused not in {"EPERM", "EACCES"}


IOCTLS = {"bring loopback down": (0x8914, 0), "change its address": (0x8916, 2), "rename it": (0x8923, 0)}
IOCTL = """
    import fcntl, socket, struct
    if target[2] and libc.unshare(0x40000000 | (0x10000000 if os.geteuid() else 0)):
        raise OSError(ctypes.get_errno(), "unshare")
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    fcntl.ioctl(end, target[0], struct.pack("=16sH22x", b"lo", target[1]))
    return True
"""


@pytest.mark.parametrize("name", IOCTLS)
def test_nor_by_ioctl(name: str, service: Service) -> None:
    said = attempt_inside(IOCTL, (*IOCTLS[name], False), outside=service.outside())
    assert said.refused in {"EPERM", "EACCES"}
    assert attempt_outside(IOCTL, (*IOCTLS[name], True)).refused not in {"EPERM", "EACCES"}


CALLS = {
    "unshare a network": "libc.unshare(0x40000000)",
    "unshare a user and a network": "libc.unshare(0x50000000)",
    "enter init's network": "libc.setns(os.open('/proc/1/ns/net', os.O_RDONLY), 0x40000000)",
    "enter one's own network": "libc.setns(os.open('/proc/self/ns/net', os.O_RDONLY), 0x40000000)",
    "io_uring": "libc.syscall(425, 8, ctypes.create_string_buffer(120))",
    "pidfd_getfd from init": "libc.syscall(438, os.pidfd_open(1), 3, 0)",
    "the descriptors of init": "len(os.listdir('/proc/1/fd'))",
    "ptrace init": "libc.ptrace(16, 1, 0, 0)",
    "a listener of one's own": "libc.syscall(317, 1, 8, ctypes.create_string_buffer(16))",
    "a kernel program": "libc.syscall(321, 0, ctypes.create_string_buffer(128), 128)",
}
CALL = """
    result = {what}
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of system calls")
@pytest.mark.parametrize("name", CALLS)
def test_nor_left(name: str, service: Service) -> None:
    said = attempt_inside(CALL.replace("{what}", CALLS[name]), outside=service.outside())
    assert said.refused in {"ENOSYS", "EPERM", "EACCES"}
    # The control: a call of this shape that is allowed.
    control = attempt_inside(CALL.replace("{what}", "libc.syscall(39)"), outside=service.outside())
    assert control.got is not None


# The server takes a place of ours before we do: it fools itself, and what is open stays so.
FOOLS = {
    "the address of a name": 'own = bind(socket.gethostbyname("fooled.test"))',
    "the same on all addresses": 'own = bind("0.0.0.0")',
    "an address that is none": 'own = bind("55.198.200.1")',
}
FOOL = """
def bind(host):
    end = socket.socket()
    end.setsockopt(socket.IPPROTO_IP, 15, 1)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    end.bind((host, target["victim"]))
    end.listen()
    def serve():
        while True:
            end.accept()[0].sendall(b"myself")
    threading.Thread(target=serve, daemon=True).start()
    return end
{what}
hosts = (socket.gethostbyname("fooled.test"), "55.198.200.1")
say([*(reach(host, target["victim"]) for host in hosts), control()])
os._exit(0)
"""


@pytest.mark.parametrize("way", FOOLS)
def test_a_server_in_our_place_fools_itself(way: str, service: Service, victim: Service) -> None:
    rules = (victim.rule("fooled.test"),)
    outside = service.outside(*rules, **{"fooled.test": ["127.0.0.1"]})
    numbers = {"victim": victim.port}
    said: Any = attack(FOOL.replace("{what}", FOOLS[way]), outside, service.port, target=numbers)[0]
    assert "myself" in said[:2]
    assert set(said[:2]) <= {"myself", "ECONNREFUSED", "ECONNRESET"}
    assert said[2] == WORD
    assert victim.arrivals == []


def test_our_listener_cannot_be_taken_over(service: Service) -> None:
    """Neither by another one at its place, nor by a socket that is bound there already."""
    program = """
host = socket.gethostbyname("control.test")
assert reach(host) == "reached"
said = []
for option in (0, socket.SO_REUSEADDR, socket.SO_REUSEPORT):
    for address in (host, "0.0.0.0"):
        end = socket.socket()
        end.setsockopt(socket.IPPROTO_IP, 15, 1)
        if option:
            end.setsockopt(socket.SOL_SOCKET, option, 1)
        try:
            end.bind((address, PORT))
            end.listen()
            said.append("listens")
        except OSError as error:
            said.append(name_of(error))
say([said, reach(host)])
"""
    said, control = attack(program, service.outside(), service.port)[0]
    assert set(said) == {"EADDRINUSE"}
    assert control == WORD


def test_the_control_works_in_this_folder(service: Service, victim: Service) -> None:
    """What the attacks here are compared with."""
    outside = service.outside(victim.rule(CONTROL))
    assert attack("say(control())", outside, service.port)[0] == WORD
