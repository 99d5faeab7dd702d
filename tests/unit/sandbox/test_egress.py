"""The inner half of the allowlist: what a stopped connect(2) asks for, and the messages to the other half."""

import ctypes
import os
import socket
import struct
import subprocess
import sys

import pytest

from mcp_client.sandbox.linux import egress
from mcp_client.sandbox.linux.egress import Endpoint, Message

V4 = struct.pack("=H", socket.AF_INET) + struct.pack("!H", 443) + bytes((55, 198, 1, 0)) + bytes(8)


def v6(text):
    address = socket.inet_pton(socket.AF_INET6, text)
    return struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", 443, 7) + address + bytes(4)


@pytest.mark.parametrize(
    ("data", "endpoint"),
    [
        (V4, Endpoint(bytes((55, 198, 1, 0)), 443)),
        (V4[:8], Endpoint(bytes((55, 198, 1, 0)), 443)),
        (v6("2e00::100"), Endpoint(socket.inet_pton(socket.AF_INET6, "2e00::100"), 443)),
        (v6("::ffff:55.198.1.0"), Endpoint(bytes((55, 198, 1, 0)), 443)),
        (V4[:7], None),
        (v6("2e00::100")[:23], None),
        (V4[:2] + bytes(2) + V4[4:], None),
        (struct.pack("=H", socket.AF_UNIX) + b"/run/docker.sock", None),
        (bytes(16), None),
        (b"", None),
    ],
)
def test_what_a_sockaddr_asks_for(data, endpoint):
    assert egress.parse_sockaddr(data) == endpoint


def test_it_is_read_from_the_memory_of_the_caller():
    memory = ctypes.create_string_buffer(V4)

    assert egress.wanted_endpoint(os.getpid(), ctypes.addressof(memory), 16) == Endpoint(V4[4:8], 443)
    assert egress.wanted_endpoint(os.getpid(), 0, 16) is None
    assert egress.wanted_endpoint(os.getpid(), (1 << 64) - 8, 16) is None
    assert egress.wanted_endpoint(os.getpid(), ctypes.addressof(memory), 0) is None
    assert egress.wanted_endpoint(1 << 30, ctypes.addressof(memory), 16) is None


@pytest.mark.parametrize(
    "message",
    [
        Message(egress.DECIDED, (1 << 64) - 1),
        Message(egress.REFUSED, 0, Endpoint(bytes(range(16)), 65535)),
        Message(egress.REFUSED, 0, Endpoint(bytes(range(4)), 1)),
    ],
)
def test_messages_arrive_as_they_were_sent(message):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        egress.send(ours, message)

        assert egress.receive(theirs) == message


def test_descriptors_arrive_and_the_end_is_seen():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        with ours, socket.create_server(("127.0.0.1", 0)) as listener:
            egress.send(ours, Message(egress.LISTENER, 5, descriptors=(listener.fileno(),)))
            name = listener.getsockname()
        message = egress.receive(theirs)
        with socket.socket(fileno=message.descriptors[0]) as received:
            assert received.getsockname() == name
            assert not os.get_inheritable(received.fileno())
        assert message.call == 5
        assert egress.receive(theirs) is None


INSIDE = """
import os, socket
from mcp_client.sandbox.linux import egress, layout, libc
from mcp_client.sandbox.spec import Way
user, group = os.geteuid(), os.getegid()
libc.unshare(libc.CLONE_NEWUSER | libc.CLONE_NEWNET)
for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
    with open(f"/proc/self/{name}", "w") as file:
        file.write(text)
with open(layout.PORT_START, "w") as file:
    file.write("0")
six = lambda text: socket.inet_pton(socket.AF_INET6, text)
way = Way((bytes((55, 198, 0, 1)), six("2e00::1")), ((bytes((55, 198, 0, 0)), 16), (six("2e00::"), 64)))
names = egress.open_way(way)
libc.drop_all_capabilities()
"""


def inside(source):
    done = subprocess.run(
        [sys.executable, "-c", INSIDE + source], capture_output=True, text=True, check=False, timeout=60
    )
    assert not done.stderr, done.stderr
    return done.stdout.split()


def test_a_name_service_in_both_families_and_nothing_else():
    assert inside("print(*(f'{end.getsockname()[0]}/{end.type:d}' for end in names))") == [
        "55.198.0.1/2",
        "55.198.0.1/1",
        "2e00::1/2",
        "2e00::1/1",
    ]


def test_listeners_need_no_rights_and_there_is_only_one_of_each():
    assert inside("""
kept = []
for text, port in (("55.198.9.9", 80), ("55.198.9.9", 80), ("2e00::9", 443), ("2e00::9", 443)):
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    kept.append(egress.listen(egress.Endpoint(socket.inet_pton(family, text), port)))
print(*(end is not None for end in kept))
socket.create_connection(("55.198.9.9", 80), 5), socket.create_connection(("2e00::9", 443), 5)
mapped = socket.socket(socket.AF_INET6)
mapped.connect(("::ffff:55.198.9.9", 80))
for end in kept:
    if end:
        end.close()
print(egress.listen(egress.Endpoint(socket.inet_pton(socket.AF_INET, "55.198.9.9"), 80)) is not None)
""") == ["True", "False", "True", "False", "True"]


def test_what_has_no_route_is_unreachable_and_routes_cannot_be_added_any_more():
    assert inside("""
from mcp_client.sandbox.linux.netlink import LOOPBACK, Netlink
for address in ("192.0.2.1", "2001:db8::1"):
    try:
        socket.create_connection((address, 80), 5)
    except OSError as error:
        print(error.errno)
try:
    Netlink().add_local_route(LOOPBACK, bytes((192, 0, 2, 0)), 24)
except OSError as error:
    print(error.errno)
""") == ["101", "101", "1"]
