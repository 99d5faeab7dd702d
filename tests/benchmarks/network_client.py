"""The client of allowlist.py: it runs bare, in the sandbox or beside another relay, and measures as told.

Its arguments are a host, a port, and the port of a proxy on the same host that is asked by CONNECT, or 0.
Each line on its input is a task and a count; each line on its output, a list of results.
"""

import asyncio
import contextlib
import json
import socket
import sys
import time

BLOCK = bytes(256 << 10)
DISCARD, SEND, ECHO = b"d", b"s", b"x"
HEAD = 9
# Some relays let a refused connection hang.
PATIENCE = 0.5


class Way:
    """How this client reaches the host."""

    def __init__(self, host: str, port: int, proxy: int) -> None:
        self.address = gateway() if host == "gateway" else socket.gethostbyname(host)
        self.port, self.proxy = port, proxy

    def connect(self, patience: float | None = None) -> socket.socket:
        """Blocking."""
        end = socket.create_connection((self.address, self.proxy or self.port), patience)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.proxy:
            end.sendall(self._request())
            assert end.recv(100).endswith(b"\r\n\r\n")
        return end

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The same beside others."""
        reader, writer = await asyncio.open_connection(self.address, self.proxy or self.port)
        if self.proxy:
            writer.write(self._request())
            await reader.readuntil(b"\r\n\r\n")
        return reader, writer

    def _request(self) -> bytes:
        return f"CONNECT {self.address}:{self.port} HTTP/1.1\r\n\r\n".encode()


def gateway() -> str:
    """The address of the default route (proc_net(5))."""
    with open("/proc/net/route", encoding="ascii") as file:
        routes = [line.split() for line in file][1:]
    number = next(route[2] for route in routes if route[1] == "00000000")
    return socket.inet_ntoa(bytes.fromhex(number)[::-1])


def main() -> None:
    """Do what is told until the end of the input."""
    host, port, proxy = sys.argv[1:]
    way = Way(host, int(port), int(proxy))
    tasks = {
        "sequence": sequence,
        "parallel": parallel,
        "open": many_open,
        "upload": upload,
        "download": download,
        "refused": refused,
    }
    for line in sys.stdin:
        task, count = json.loads(line)
        print(json.dumps(tasks[task](way, count)), flush=True)


def sequence(way: Way, count: int) -> list[float]:
    """Milliseconds of connecting and one byte back, one after the other."""
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        with way.connect() as end:
            end.sendall(ECHO)
            assert end.recv(1) == ECHO
            taken.append((time.perf_counter() - began) * 1000)
    return taken


def parallel(way: Way, count: int) -> list[float]:
    """Milliseconds from the common start until each has its byte back."""

    async def one(began: float) -> float:
        reader, writer = await way.open()
        writer.write(ECHO)
        assert await reader.read(1) == ECHO
        taken = (time.perf_counter() - began) * 1000
        writer.close()
        return taken

    async def gather() -> list[float]:
        began = time.perf_counter()
        return list(await asyncio.gather(*(one(began) for _ in range(count))))

    return asyncio.run(gather())


def many_open(way: Way, count: int) -> list[float]:
    """How many of them answer while all are open, and the milliseconds of opening them and asking each."""
    began = time.perf_counter()
    ends: list[socket.socket] = []
    answered = 0
    with contextlib.suppress(OSError):
        ends.extend(way.connect() for _ in range(count))
    for end in ends:
        with contextlib.suppress(OSError):
            end.sendall(ECHO)
            answered += end.recv(1) == ECHO
    taken = (time.perf_counter() - began) * 1000
    for end in ends:
        end.close()
    return [answered, taken]


def upload(way: Way, megabytes: int) -> list[float]:
    """GB/s until the other side has read all."""
    with way.connect() as end:
        end.sendall(DISCARD + bytes(HEAD - 1))
        began = time.perf_counter()
        for _ in range((megabytes << 20) // len(BLOCK)):
            end.sendall(BLOCK)
        end.shutdown(socket.SHUT_WR)
        assert end.recv(1) == ECHO
        return [(megabytes << 20) / (time.perf_counter() - began) / 1e9]


def download(way: Way, megabytes: int) -> list[float]:
    """GB/s until all is here."""
    buffer = bytearray(256 << 10)
    with way.connect() as end:
        began = time.perf_counter()
        end.sendall(SEND + (megabytes << 20).to_bytes(HEAD - 1, "big"))
        left = megabytes << 20
        while size := end.recv_into(buffer):
            left -= size
        assert not left
        return [(megabytes << 20) / (time.perf_counter() - began) / 1e9]


def refused(way: Way, count: int) -> list[float]:
    """Milliseconds until a connection to another port has failed."""
    elsewhere, taken = Way(way.address, 1, way.proxy), []
    for _ in range(count):
        began = time.perf_counter()
        try:
            with elsewhere.connect(PATIENCE) as end:
                assert not end.recv(1)
        except (OSError, AssertionError):
            pass
        taken.append((time.perf_counter() - began) * 1000)
    return taken


if __name__ == "__main__":
    main()
