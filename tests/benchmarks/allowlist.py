"""What an allowed connection of a sandboxed server costs, beside a direct one and beside other relays.

The same client (network_client.py) reaches one echo server on the host's loopback: directly, out of the
sandbox by an allowed name, by way of a plain CONNECT proxy in Python, and out of an empty network namespace
through pasta and slirp4netns, where these are installed. All take turns. ``echo`` is connecting and one byte
back, ``parallel`` the 99th percentile of fifty of that at a time, ``refused`` a connection that comes to
nothing (denied, in the sandbox), ``open`` how many of a thousand connections answer while all are open. Times
are milliseconds, speeds GB/s; ``grown`` is what the relay's resident memory grew by over all bulk data (MB).
"""

import asyncio
import contextlib
import json
import os
import selectors
import shutil
import signal
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TextIO

from arena.sandbox import Outside, python_runtime, run_inside
from measure import HERE, Scale, percentile
from network_client import BLOCK, DISCARD, ECHO, HEAD
from peers import Found
from subjects import World
from table import Table

from mcp_client.policy.model import DEFAULT_LIMITS

NAME, LOOPBACK = "api.example.com", "127.0.0.1"
# Where a relay has the host's loopback: the default gateway for pasta.
GATEWAY, SLIRP_HOST = "gateway", "10.0.2.2"
CLIENT = os.path.join(HERE, "network_client.py")
PARALLEL, OPEN, TURNS = 50, 1000, 5
COLUMNS = ("by", "echo", "added", "99%", "parallel", "refused", "open", "upload", "download", "grown")
# Enough for all connections at a time, here and in the sandbox.
FILES = 4096
RUNS, MEGABYTES = 5000, 1024

PEERS = {"pasta", "slirp4netns"}


class Contender(NamedTuple):
    """A client that takes tasks, and the pid of the process in the middle, 0 when there is none."""

    commands: TextIO
    results: TextIO
    relay: int

    def ask(self, task: str, count: int) -> list[float]:
        """The results of one task."""
        self.commands.write(json.dumps([task, count]) + "\n")
        self.commands.flush()
        line = self.results.readline()
        if not line:
            raise RuntimeError(f"the client ended in {task!r}")
        return list(json.loads(line))


class Row(NamedTuple):
    """See the module; ``slowest`` is the 99th percentile of ``echo``, ``opening`` the time of ``open``."""

    echo: float
    slowest: float
    parallel: float
    refused: float
    open: int
    opening: float
    upload: float
    download: float
    grown: float


def measure_network(world: World, found: Found, scale: Scale) -> list[Table]:
    """Milliseconds of a connection and GB/s of bulk data, by each way out."""
    with contextlib.ExitStack() as stack:
        contenders, missing = start_all(stack)
        rows, broken = measure(contenders, max(500, scale.of(RUNS)), scale.of(MEGABYTES), scale.of(10))
    note = (
        "One client reaches one echo server on loopback: directly, out of the sandbox by an allowed name, "
        "and by other relays. Milliseconds to connect and get one byte back (median, added, 99th percentile; "
        f"99th of fifty at a time), to be refused; how many of {OPEN} connections answer while all are open, "
        "and in how many ms; GB/s up and down (share of the direct one); MB by which the relay grew over it."
    )
    note += f" Left out, not here: {', '.join(missing)}." if missing else ""
    note += f" Left out, it broke a connection: {', '.join(broken)}." if broken else ""
    return [Table("An allowed connection", note, COLUMNS, [line(name, rows) for name in rows])]


def measure(
    contenders: Mapping[str, Contender], runs: int, megabytes: int, refusals: int
) -> tuple[dict[str, Row], list[str]]:
    """Every task in turn by each contender; who of the peers broke a connection has no row."""
    broken: list[str] = []
    found: dict[tuple[str, str], list[float]] = {}
    grown = dict.fromkeys(contenders, 0.0)

    def ask(name: str, task: str, count: int) -> None:
        found.setdefault((name, task), []).extend(ask_if_whole(contenders, broken, name, task, count))

    for contender in contenders.values():
        for task, count in (("sequence", 50), ("parallel", PARALLEL), ("upload", 64), ("download", 64)):
            contender.ask(task, count)
    for _ in range(TURNS):
        for name, contender in contenders.items():
            ask(name, "sequence", runs // TURNS)
            ask(name, "refused", refusals)
            for _ in range(4):
                ask(name, "parallel", PARALLEL)
            before = resident(contender.relay)
            ask(name, "upload", megabytes // TURNS)
            ask(name, "download", megabytes // TURNS)
            grown[name] += resident(contender.relay) - before
    for name in contenders:
        ask(name, "open", OPEN)
    return {
        name: Row(
            statistics.median(found[name, "sequence"]),
            percentile(found[name, "sequence"], 99),
            percentile(found[name, "parallel"], 99),
            statistics.median(found[name, "refused"]),
            int(found[name, "open"][0]),
            found[name, "open"][1],
            statistics.median(found[name, "upload"]),
            statistics.median(found[name, "download"]),
            grown[name],
        )
        for name in contenders
        if name not in broken
    }, broken


def ask_if_whole(
    contenders: Mapping[str, Contender], broken: list[str], name: str, task: str, count: int
) -> list[float]:
    """The results of one task; a peer whose client ends is ``broken`` from then on, and has none."""
    if name in broken:
        return []
    try:
        return contenders[name].ask(task, count)
    except (RuntimeError, BrokenPipeError) as error:
        if name not in PEERS:
            raise RuntimeError(f"{name}: {error}") from error
        broken.append(name)
        return []


def line(name: str, rows: Mapping[str, Row]) -> list[str]:
    """The cells of a contender; what is in brackets compares with the direct connection."""
    row, bare = rows[name], rows["direct"]
    return [
        name,
        f"{row.echo:.2f}",
        f"{row.echo - bare.echo:.2f}",
        f"{row.slowest:.2f}",
        f"{row.parallel:.1f}",
        f"{row.refused:.2f}",
        f"{row.open} in {row.opening:.0f}",
        f"{row.upload:.2f} ({row.upload / bare.upload:.2f})",
        f"{row.download:.2f} ({row.download / bare.download:.2f})",
        f"{row.grown:.1f}",
    ]


def resident(pid: int) -> float:
    """Resident memory in MB."""
    if not pid:
        return 0.0
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        fields = file.read().split()
    # Nothing of one that has ended.
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6 if fields else 0.0


def start_all(stack: contextlib.ExitStack) -> tuple[dict[str, Contender], list[str]]:
    """All that can be measured here, and who is missing; ``stack`` ends them."""
    server, proxy = listen(), listen()
    port, proxy_port = server.getsockname()[1], proxy.getsockname()[1]
    fork(stack, lambda: serve_echo(server))
    proxy_pid = fork(stack, lambda: serve_proxy(proxy))
    server.close()
    proxy.close()
    client = [python_runtime().executable, CLIENT]

    def reach(host: str, by: int = 0) -> list[str]:
        return [*client, host, str(port), str(by)]

    contenders = {
        "direct": spawn(stack, reach(LOOPBACK))._replace(relay=0),
        "sandbox": sandboxed(stack, port),
        "CONNECT proxy": spawn(stack, reach(LOOPBACK, proxy_port))._replace(relay=proxy_pid),
    }
    if shutil.which("pasta"):
        # As root it would become somebody who may not map users.
        user = ["--runas", "0"] if os.geteuid() == 0 else []
        contenders["pasta"] = spawn(stack, ["pasta", *user, "-q", "--config-net", "--", *reach(GATEWAY)])
    if shutil.which("slirp4netns"):
        contenders["slirp4netns"] = through_slirp(stack, reach(SLIRP_HOST))
    return contenders, sorted(PEERS - set(contenders))


def spawn(stack: contextlib.ExitStack, command: Sequence[str]) -> Contender:
    """A plain process, which is also named as the relay."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    stack.callback(end, process.pid)
    return Contender(process.stdin, process.stdout, process.pid)


def through_slirp(stack: contextlib.ExitStack, command: Sequence[str]) -> Contender:
    """A namespace that waits until it has a network, which takes a process outside to make."""
    wait = 'until grep -q tap0 /proc/net/route; do sleep 0.1; done; exec "$@"'
    client = spawn(stack, ["unshare", "--map-root-user", "--net", "sh", "-c", wait, "sh", *command])
    own = os.readlink("/proc/self/ns/net")
    while os.readlink(f"/proc/{client.relay}/ns/net") == own:
        time.sleep(0.01)
    null = subprocess.DEVNULL
    relay = subprocess.Popen(
        ["slirp4netns", "--configure", "--mtu=65520", str(client.relay), "tap0"], stdout=null, stderr=null
    )
    stack.callback(end, relay.pid)
    return client._replace(relay=relay.pid)


def sandboxed(stack: contextlib.ExitStack, port: int) -> Contender:
    """The client as a server that may reach one name; the relay is what supervises it."""
    commands, results = os.pipe(), os.pipe()
    with open(CLIENT, encoding="utf-8") as file:
        program = file.read()

    def supervise() -> None:
        os.close(commands[1])
        os.close(results[0])
        outside = Outside([f"{NAME}:{port}", LOOPBACK], names={NAME: [LOOPBACK]})
        run_inside(
            program,
            [NAME, str(port), "0"],
            outside=outside,
            limits=DEFAULT_LIMITS._replace(files=FILES),
            standard={0: commands[0], 1: results[1]},
        )

    relay = fork(stack, supervise)
    os.close(commands[0])
    os.close(results[1])
    return Contender(open(commands[1], "w", encoding="ascii"), open(results[0], encoding="ascii"), relay)


def listen() -> socket.socket:
    """On loopback, with room for all at a time."""
    return socket.create_server((LOOPBACK, 0), backlog=OPEN)


def fork(stack: contextlib.ExitStack, work: Callable[[], None]) -> int:
    """The pid of a process that does nothing else."""
    pid = os.fork()
    if not pid:
        try:
            work()
        finally:
            os._exit(0)
    stack.callback(end, pid)
    return pid


def end(pid: int) -> None:
    """Kill a child."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def serve_echo(listener: socket.socket) -> None:
    """A byte is echoed; bulk data is read or sent, as the first bytes ask, by a thread."""
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    selector.register(listener.accept()[0], selectors.EVENT_READ)
                    continue
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                if not answer(connection):
                    selector.unregister(connection)


def answer(connection: socket.socket) -> bool:
    """Whether more is to be expected here."""
    try:
        asked = connection.recv(HEAD)
        if asked == ECHO:
            connection.sendall(asked)
            return True
    except OSError:
        asked = b""
    if asked:
        threading.Thread(target=carry, args=(connection, asked), daemon=True).start()
    else:
        connection.close()
    return False


def carry(connection: socket.socket, asked: bytes) -> None:
    """Read all there is, or send as much as is asked for."""
    buffer = bytearray(256 << 10)
    with connection:
        if asked.startswith(DISCARD):
            while connection.recv_into(buffer):
                pass
            connection.sendall(ECHO)
        else:
            for _ in range(int.from_bytes(asked[1:], "big") // len(BLOCK)):
                connection.sendall(BLOCK)


def serve_proxy(listener: socket.socket) -> None:
    """The proxy that is written in an afternoon: asyncio streams, one task for each direction."""

    # The loop alone would let them be collected.
    tasks = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(256 << 10):
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        request = await reader.readuntil(b"\r\n\r\n")
        host, _, port = request.split()[1].decode().partition(":")
        try:
            there, back = await asyncio.open_connection(host, int(port), limit=512 << 10)
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            writer.close()
            return
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)
        back.close()
        writer.close()
        tasks.discard(asyncio.current_task())

    async def forever() -> None:
        listener.setblocking(False)
        server = await asyncio.start_server(serve, sock=listener, limit=512 << 10, backlog=OPEN)
        await server.serve_forever()

    asyncio.run(forever())
