"""A process in an empty network namespace that does what it is told; see conftest.py."""

import json
import os
import socket
import struct
import sys

from mcp_client.network.closed import POOL_V4, POOL_V6
from mcp_client.network.pool import NAME_SERVICE
from mcp_client.sandbox.linux import egress, layout, libc
from mcp_client.sandbox.spec import Way

RESOLVER = str(NAME_SERVICE.v4)


def question(name, kind=1, identity=7):
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return struct.pack("!6H", identity, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def ask(name, kind=1, server=RESOLVER):
    """(response code, addresses) by UDP."""
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as end:
        end.settimeout(5)
        end.sendto(question(name, kind), (server, 53))
        reply = end.recv(4096)
    count = struct.unpack_from("!H", reply, 6)[0]
    size = 16 if kind == 28 else 4
    found = [reply[len(reply) - size :]] if count else []
    return reply[3] & 15, [
        socket.inet_ntop(socket.AF_INET6 if size == 16 else socket.AF_INET, a) for a in found
    ]


def enter(channel):
    user, group = os.geteuid(), os.getegid()
    libc.unshare(libc.CLONE_NEWUSER | libc.CLONE_NEWNET)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)
    with open(layout.PORT_START, "w", encoding="ascii") as file:
        file.write("0")
    networks = [POOL_V4, POOL_V6, *sys.argv[2:]]
    routes = []
    for network in networks:
        text, _, prefix = str(network).partition("/")
        family = socket.AF_INET6 if ":" in text else socket.AF_INET
        routes.append((socket.inet_pton(family, text), int(prefix)))
    names = egress.open_way(Way(tuple(a.packed for a in NAME_SERVICE), tuple(routes)))
    descriptors = tuple(end.fileno() for end in names)
    egress.send(channel, egress.Message(egress.NAMES, descriptors=descriptors))
    for end in names:
        end.close()


def obey(channel, command):
    if "listen" in command:
        address, port = command["listen"]
        packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
        listener = egress.listen(egress.Endpoint(packed, port))
        if listener is None:
            return "there is one"
        egress.send(channel, egress.Message(egress.LISTENER, 1, descriptors=(listener.fileno(),)))
        listener.close()
        return "sent"
    names = {"socket": socket, "os": os, "struct": struct, "ask": ask, "question": question}
    exec(command["source"], names)
    return names.get("got")


def main():
    channel = socket.socket(fileno=int(sys.argv[1]))
    enter(channel)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        try:
            said = {"got": obey(channel, json.loads(line))}
        except OSError as error:
            said = {"refused": type(error).__name__, "errno": error.errno}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
