"""What an allowed connection costs, beside a direct one and beside a plain CONNECT proxy in Python.

    .venv/bin/python tests/benchmarks/network.py [--runs N] [--megabytes N] [--json]

A client in an empty network namespace reaches an echo server on the host's loopback by an allowed name,
through an engine in a process of its own. All take turns in one run: connecting and getting one byte back,
fifty of that at a time, and an upload. Times are milliseconds, speeds GB/s; ``memory`` is what the process in
the middle grew by during an upload, in MB. The system call gate is not part of this.
"""

import argparse
import asyncio
import json
import os
import select
import signal
import socket
import statistics
import struct
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from mcp_client.network.addresses import parse_address
from mcp_client.network.closed import POOL_V4, POOL_V6
from mcp_client.network.decide import RuleSet
from mcp_client.network.linux.engine import Engine
from mcp_client.network.pool import NAME_SERVICE
from mcp_client.network.rules import parse_rule
from mcp_client.sandbox.linux import egress, layout, libc
from mcp_client.sandbox.spec import Way

NAME = "api.example.com"
POOL = (POOL_V4, POOL_V6)
BLOCK = bytes(256 << 10)
PARALLEL = 50
TURNS = 5
Connect = Callable[[], socket.socket]


class Contender(NamedTuple):
    """A client process that takes commands, and the process in the middle, 0 when there is none."""

    client: "Client"
    relay: int


def main() -> None:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    server, port = start(serve_echo)
    proxy, proxy_at = start(serve_proxy)
    engine, inside = start_engine(port)
    contenders = {
        "direct": Contender(Client(lambda: lambda: socket.create_connection(("127.0.0.1", port))), 0),
        "sandbox": Contender(Client(inside), engine),
        "CONNECT proxy": Contender(Client(lambda: lambda: through_proxy(proxy_at, port)), proxy),
    }
    try:
        rows = measure(contenders, given.runs, given.megabytes)
    finally:
        for pid in (server, proxy, engine, *(contender.client.pid for contender in contenders.values())):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    if given.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'':<16}{'echo':>8}{'added':>8}{f'p99 of {PARALLEL}':>12}{'upload':>8}{'ratio':>8}{'memory':>8}")
    bare = rows["direct"]
    for name, row in rows.items():
        added, ratio = row["echo"] - bare["echo"], row["upload"] / bare["upload"]
        print(
            f"{name:<16}{row['echo']:>8.2f}{added:>8.2f}{row['parallel']:>12.1f}"
            f"{row['upload']:>8.2f}{ratio:>8.2f}{row['memory']:>8.1f}"
        )


def measure(contenders: dict[str, Contender], runs: int, megabytes: int) -> dict[str, dict[str, float]]:
    """Contender -> median of echo (ms), p99 of parallel ones (ms), median of uploads (GB/s), growth (MB)."""
    echoes: dict[str, list[float]] = {name: [] for name in contenders}
    parallel: dict[str, list[float]] = {name: [] for name in contenders}
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    growth: dict[str, float] = dict.fromkeys(contenders, 0.0)
    for client, _ in contenders.values():
        client.ask("echo", 20)
        client.ask("parallel", PARALLEL)
        client.ask("upload", 64)
    for _ in range(TURNS):
        for name, (client, relay) in contenders.items():
            echoes[name] += client.ask("echo", runs // TURNS)
            for _ in range(4):
                parallel[name] += client.ask("parallel", PARALLEL)
            before = memory_of(relay)
            speeds[name] += client.ask("upload", megabytes)
            growth[name] = max(growth[name], memory_of(relay) - before)
    return {
        name: {
            "echo": statistics.median(echoes[name]),
            "parallel": statistics.quantiles(parallel[name], n=100)[-1],
            "upload": statistics.median(speeds[name]),
            "memory": growth[name],
        }
        for name in contenders
    }


def memory_of(pid: int) -> float:
    """Private memory in MB."""
    if not pid:
        return 0.0
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        lines = [line.split() for line in file]
    return sum(int(line[1]) for line in lines if line[0].startswith("Private")) / 1024


class Client:
    """A process that connects and measures; ``prepare`` is called in it and returns how it connects."""

    def __init__(self, prepare: Callable[[], Connect]) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if not self.pid:
            self._ours.close()
            obey(theirs, prepare())
        theirs.close()

    def ask(self, what: str, count: int) -> list[float]:
        """The results of one task."""
        self._ours.send(json.dumps([what, count]).encode())
        return list(json.loads(self._ours.recv(1 << 20)))


def obey(channel: socket.socket, connect: Connect) -> None:
    """Never returns."""
    tasks = {"echo": sequential, "parallel": at_a_time, "upload": upload}
    while command := channel.recv(1 << 10):
        what, count = json.loads(command)
        channel.send(json.dumps(tasks[what](connect, count)).encode())
    os._exit(0)


def sequential(connect: Connect, count: int) -> list[float]:
    """Milliseconds of connecting and one byte back, one after the other."""
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        with connect() as end:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.sendall(b"x")
            assert end.recv(1) == b"x"
            taken.append((time.perf_counter() - began) * 1000)
    return taken


def at_a_time(connect: Connect, count: int) -> list[float]:
    """Milliseconds from the start until each has its byte back; all are begun before any is waited for."""
    began = time.perf_counter()
    ends = []
    for _ in range(count):
        ends.append(connect())
        ends[-1].sendall(b"x")
    taken = []
    for end in ends:
        assert end.recv(1) == b"x"
        taken.append((time.perf_counter() - began) * 1000)
        end.close()
    return taken


def upload(connect: Connect, megabytes: int) -> list[float]:
    """GB/s until the other side has read all."""
    with connect() as end:
        end.sendall(b"\0")
        began = time.perf_counter()
        for _ in range((megabytes << 20) // len(BLOCK)):
            end.sendall(BLOCK)
        end.shutdown(socket.SHUT_WR)
        assert end.recv(1) == b"x"
        return [(megabytes << 20) / (time.perf_counter() - began) / 1e9]


def start(serve: Callable[[socket.socket], None]) -> tuple[int, int]:
    """Fork a server on loopback: its pid and port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    pid = os.fork()
    if not pid:
        serve(listener)
        os._exit(0)
    port = listener.getsockname()[1]
    listener.close()
    return pid, port


def serve_echo(listener: socket.socket) -> None:
    """One byte is echoed; after a zero byte everything is read, and answered at the end."""
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=echo, args=(connection,), daemon=True).start()


def echo(connection: socket.socket) -> None:
    """One connection."""
    buffer = bytearray(256 << 10)
    with connection:
        if connection.recv(1) == b"\0":
            while connection.recv_into(buffer):
                pass
        connection.sendall(b"x")


def serve_proxy(listener: socket.socket) -> None:
    """The proxy that is written in an afternoon: asyncio streams, one task for each direction."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(256 << 10):
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        host, _, port = request.split()[1].decode().partition(":")
        there, back = await asyncio.open_connection(host, int(port), limit=512 << 10)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)
        back.close()
        writer.close()

    async def forever() -> None:
        listener.setblocking(False)
        server = await asyncio.start_server(serve, sock=listener, limit=512 << 10)
        await server.serve_forever()

    asyncio.run(forever())


def through_proxy(proxy: int, port: int) -> socket.socket:
    """A connection by CONNECT."""
    end = socket.create_connection(("127.0.0.1", proxy))
    end.sendall(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode())
    assert end.recv(100).endswith(b"\r\n\r\n")
    return end


def start_engine(port: int) -> tuple[int, Callable[[], Connect]]:
    """The engine's pid, and what a client calls to stand in an empty namespace where ``NAME`` leads to it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if not pid:
        ours.close()
        run_engine(theirs)
    theirs.close()
    return pid, lambda: enter(ours, port)


def run_engine(channel: socket.socket) -> None:
    """Never returns; the name leads to this host, which takes a rule of its own."""
    rules = RuleSet(map(parse_rule, (NAME, "127.0.0.1")))
    loopback = parse_address("127.0.0.1")
    assert loopback is not None
    engine = Engine(rules, print, {}, lambda _: [loopback])
    poll = select.poll()
    for end in (channel, engine):
        poll.register(end, select.POLLIN)
    while True:
        due = engine.due_at
        ready = dict(poll.poll(None if due is None else max(0.0, due - time.monotonic()) * 1000 + 1))
        engine.run_once(0)
        if channel.fileno() in ready:
            message = egress.receive(channel)
            if message is None:
                poll.unregister(channel)
                continue
            ends = [socket.socket(fileno=number) for number in message.descriptors]
            if message.kind == egress.NAMES:
                engine.serve_names(*ends)
            else:
                assert all(map(engine.add_listener, ends))


def enter(channel: socket.socket, port: int) -> Connect:
    """Leave for an empty namespace, and open the way out."""
    user, group = os.geteuid(), os.getegid()
    libc.unshare(libc.CLONE_NEWUSER | libc.CLONE_NEWNET)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)
    with open(layout.PORT_START, "w", encoding="ascii") as file:
        file.write("0")
    networks = tuple((network.number.to_bytes(network.bits // 8, "big"), network.prefix) for network in POOL)
    names = egress.open_way(Way(tuple(address.packed for address in NAME_SERVICE), networks))
    egress.send(channel, egress.Message(egress.NAMES, descriptors=tuple(end.fileno() for end in names)))
    address = look_up(NAME)
    listener = egress.listen(egress.Endpoint(socket.inet_aton(address), port))
    assert listener is not None
    egress.send(channel, egress.Message(egress.LISTENER, 1, descriptors=(listener.fileno(),)))
    for end in (*names, listener):
        end.close()
    return lambda: socket.create_connection((address, port))


def look_up(name: str) -> str:
    """Ask our name service."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    query = struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.sendto(query, (str(NAME_SERVICE.v4), 53))
        return socket.inet_ntoa(end.recv(512)[-4:])


if __name__ == "__main__":
    main()
