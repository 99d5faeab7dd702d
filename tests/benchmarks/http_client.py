"""The client of http_proxy.py: it measures one endpoint as it is told, with as little HTTP as that takes.

Its argument is a port on loopback. Each line on its input is a task and a count; each line on its output, a
list of results. Answers are those of http_server.js.
"""

import asyncio
import json
import socket
import sys
import time

BLOCK = bytes(256 << 10)
BODY = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello"}}}'
STREAMS, EVENTS = 200, 20


def main() -> None:
    """Do what is told until the end of the input."""
    endpoint = Endpoint(int(sys.argv[1]))
    for line in sys.stdin:
        task, count = json.loads(line)
        print(json.dumps(getattr(endpoint, task)(count)), flush=True)


class Endpoint:
    """Every method but those with an underscore is a task."""

    def __init__(self, port: int) -> None:
        self._address = "127.0.0.1", port
        self._host = f"Host: 127.0.0.1:{port}\r\n".encode()
        self._request = (
            b"POST /mcp HTTP/1.1\r\n" + self._host + b"Content-Type: application/json\r\n"
            b"Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-11-25\r\n"
            b"Mcp-Session-Id: 1868a90c-1868-a90c-1868-1868a90c1868\r\nUser-Agent: benchmark\r\n"
            b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
        )

    def small(self, count: int) -> list[float]:
        """Milliseconds of each request on one connection."""
        taken = []
        with self._connect() as end:
            for _ in range(count):
                began = time.perf_counter()
                end.sendall(self._request)
                _read_small(end)
                taken.append((time.perf_counter() - began) * 1000)
        return taken

    def fresh(self, count: int) -> list[float]:
        """Milliseconds of each request with a connection of its own."""
        taken = []
        for _ in range(count):
            began = time.perf_counter()
            with self._connect() as end:
                end.sendall(self._request)
                _read_small(end)
            taken.append((time.perf_counter() - began) * 1000)
        return taken

    def sized(self, megabytes: int) -> list[float]:
        """GB/s of an answer of that length."""
        return [self._download(b"/sized", megabytes)]

    def chunked(self, megabytes: int) -> list[float]:
        """GB/s of an answer in chunks."""
        return [self._download(b"/chunked", megabytes)]

    def upload(self, megabytes: int) -> list[float]:
        """GB/s of a body of that length."""
        size = megabytes << 20
        with self._connect() as end:
            began = time.perf_counter()
            end.sendall(b"POST /upload HTTP/1.1\r\n" + self._host + b"Content-Length: %d\r\n\r\n" % size)
            left = size
            while left:
                end.sendall(BLOCK[:left])
                left -= min(left, len(BLOCK))
            _read_small(end)
            return [size / (time.perf_counter() - began) / 1e9]

    def pieces(self, megabytes: int) -> list[float]:
        """GB/s of a body in chunks."""
        chunk = b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK)
        count = max(1, (megabytes << 20) // len(BLOCK))
        with self._connect() as end:
            began = time.perf_counter()
            end.sendall(b"POST /upload HTTP/1.1\r\n" + self._host + b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(count):
                end.sendall(chunk)
            end.sendall(b"0\r\n\r\n")
            _read_small(end)
            return [count * len(BLOCK) / (time.perf_counter() - began) / 1e9]

    def events(self, count: int) -> list[float]:
        """Thousands of events a second of one stream that is sent as fast as it is read."""
        with self._connect() as end:
            began = time.perf_counter()
            end.sendall(b"GET /events?%d HTTP/1.1\r\n" % count + self._host + b"\r\n")
            seen, data = 0, b""
            while not data.endswith(b"0\r\n\r\n"):
                data = end.recv(1 << 18)
                seen += data.count(b"data: ")
            # Some fall on an edge and are not recognised.
            assert count * 0.99 < seen <= count, (seen, count)
            return [seen / (time.perf_counter() - began) / 1000]

    def burst(self, count: int) -> list[float]:
        """How many of ``count`` requests on 50 connections are answered, and in how many seconds."""
        return asyncio.run(self._burst(count))

    def streams(self, seconds: int) -> list[float]:
        """Events that 200 streams got at the same time, those they should have, and the seconds taken."""
        return asyncio.run(self._streams(seconds))

    def _connect(self) -> socket.socket:
        end = socket.create_connection(self._address)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return end

    def _download(self, path: bytes, megabytes: int) -> float:
        size = megabytes << 20
        buffer = bytearray(1 << 20)
        with self._connect() as end:
            began = time.perf_counter()
            end.sendall(
                b"GET %s?%d HTTP/1.1\r\n" % (path, megabytes) + self._host + b"Connection: close\r\n\r\n"
            )
            received = 0
            while count := end.recv_into(buffer):
                received += count
            assert received >= size, (received, size)
            return size / (time.perf_counter() - began) / 1e9

    async def _burst(self, count: int) -> list[float]:
        left = iter(range(count))
        good = 0

        async def work() -> None:
            nonlocal good
            reader, writer = await asyncio.open_connection(*self._address)
            for _ in left:
                writer.write(self._request)
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(
                    int(head.lower().partition(b"content-length: ")[2].split()[0])
                )
                good += head.startswith(b"HTTP/1.1 200 ") and body == BODY
            writer.close()

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(50)))
        return [good, time.perf_counter() - began]

    async def _streams(self, seconds: int) -> list[float]:
        """Each gets an event in each 1/EVENTS of a second and then an end."""
        request = b"GET /ticks?%d HTTP/1.1\r\n" % (seconds * EVENTS) + self._host + b"\r\n"
        began = time.perf_counter()

        async def follow() -> int:
            reader, writer = await asyncio.open_connection(*self._address)
            writer.write(request)
            data = b""
            while not data.endswith(b"\r\n0\r\n\r\n"):
                more = await reader.read(1 << 16)
                assert more, data[-100:]
                data += more
            writer.close()
            return data.count(b"data: tick ")

        seen = await asyncio.gather(*(follow() for _ in range(STREAMS)))
        return [sum(seen), STREAMS * seconds * EVENTS, time.perf_counter() - began]


def _read_small(end: socket.socket) -> None:
    data = end.recv(65536)
    while b"\r\n\r\n" not in data:
        data += end.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    size = int(head.lower().partition(b"content-length: ")[2].split()[0])
    while len(body) < size:
        body += end.recv(65536)
    assert head.startswith(b"HTTP/1.1 200 "), head


if __name__ == "__main__":
    main()
