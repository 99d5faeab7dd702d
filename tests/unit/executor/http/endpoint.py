"""A proxy that runs, clients that speak bytes, and servers behind it that write down what they see."""

import contextlib
import os
import queue
import re
import select
import socket
import threading
import time

from mcp_client.executor.http.guard import Guard
from mcp_client.executor.http.proxy import Proxy

PATIENCE = 20
SERVER_PORT = 8080
TOKEN = "s3cret-token-of-the-test"
ORIGIN = "https://app.example"


class Recorder:
    """A server that notes the bytes of each connection, and does with each what ``handle`` does with it."""

    def __init__(self, handle):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.address = self.listener.getsockname()
        self.seen = []
        self.connections = []
        self.handle = handle
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self):
        while True:
            try:
                end, _ = self.listener.accept()
            except OSError:
                return
            end.settimeout(PATIENCE)
            seen = bytearray()
            self.seen.append(seen)
            self.connections.append(end)
            threading.Thread(target=self._serve, args=(end, seen), daemon=True).start()

    def _serve(self, end, seen):
        with contextlib.suppress(OSError):
            self.handle(Conversation(end, seen))
        with contextlib.suppress(OSError):
            end.close()

    @property
    def bytes(self):
        return b"".join(self.seen)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for end in self.connections:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Conversation:
    """One connection that the server behind has accepted."""

    def __init__(self, end, seen):
        self.end, self.seen = end, seen
        self._buffer = b""

    def more(self):
        data = self.end.recv(1 << 16)
        self.seen += data
        return data

    def head(self):
        """The next head, or None at the end."""
        while b"\r\n\r\n" not in self._buffer:
            data = self.more()
            if not data:
                return None
            self._buffer += data
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    def body(self, head):
        """Of a sized or chunked request, framing included."""
        if b"transfer-encoding: chunked" in head.lower():
            while (found := re.search(rb"(?:^|\r\n)0\r\n(?:[^\r\n]+\r\n)*\r\n", self._buffer)) is None:
                self._buffer += self._more_body()
            body, self._buffer = self._buffer[: found.end()], self._buffer[found.end() :]
            return body
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        while len(self._buffer) < length:
            self._buffer += self._more_body()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return body

    def _more_body(self):
        data = self.more()
        if not data:
            raise ConnectionAbortedError
        return data

    def send(self, data):
        self.end.sendall(data)


def answering(answer=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"):
    """Every request is read whole and gets ``answer``."""

    def handle(conversation):
        while (head := conversation.head()) is not None:
            conversation.body(head)
            conversation.send(answer)

    return handle


class Direct:
    """An Upstream that connects in this very namespace, at once or when it is told to."""

    def __init__(self, address):
        self.address = address
        self.asked = 0
        self.held = None
        self.send_buffer = 0

    def connect(self, on_socket):
        self.asked += 1
        if self.held is not None:
            self.held.append(on_socket)
            return
        self.deliver(on_socket)

    def deliver(self, on_socket):
        if self.address is None:
            on_socket(None)
            return
        end = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        end.setblocking(False)
        if self.send_buffer:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.send_buffer)
        with contextlib.suppress(BlockingIOError):
            end.connect(self.address)
        on_socket(end)


class Running:
    """A proxy with a thread of its own, driven as the supervisor does it."""

    def __init__(self, upstream, guard=None, port=SERVER_PORT, listener=None):
        listener = listener or socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = listener.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self.upstream = upstream
        guard = guard or Guard(frozenset(), frozenset(), None)
        if guard.hosts is not None:
            guard = guard._replace(hosts=guard.hosts | {self.host, f"localhost:{self.port}"})
        self.proxy = Proxy(listener, upstream, guard, port=port)
        self.turns = 0
        self._wake, self._woken = os.pipe()
        self._calls = queue.SimpleQueue()
        self.failure = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        self.proxy.watch(poll)
        try:
            while True:
                due = self.proxy.due_at
                wait = None if due is None else max(0.0, due - time.monotonic()) * 1000 + 1
                ready = dict(poll.poll(wait))
                self.turns += 1
                self.proxy.move(poll, ready)
                if self._wake in ready:
                    os.read(self._wake, 1)
                    work, done = self._calls.get()
                    if work is None:
                        done.put(self.proxy.close())
                        return
                    done.put(work())
        except BaseException as error:
            self.failure = error
            raise

    def call(self, work):
        """In the proxy's thread."""
        done = queue.SimpleQueue()
        self._calls.put((work, done))
        os.write(self._woken, b"x")
        return done.get(timeout=PATIENCE)

    def close(self):
        if self._thread is None:
            return None
        assert self.failure is None, self.failure
        record = self.call(None)
        self._thread.join(PATIENCE)
        self._thread = None
        os.close(self._wake)
        os.close(self._woken)
        return record

    def client(self):
        return Client(self)

    def ask(self, request):
        """One request on a connection of its own, and its answer."""
        with self.client() as client:
            client.send(request)
            return client.answer()


class Client:
    """A connection to the proxy; ``{host}`` in what is sent is the proxy's address."""

    def __init__(self, running):
        self.running = running
        self.end = socket.create_connection(("127.0.0.1", running.port))
        self.end.settimeout(PATIENCE)
        self._buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end.close()

    def send(self, data):
        self.end.sendall(data.replace(b"{host}", self.running.host.encode()))

    def more(self):
        data = self.end.recv(1 << 16)
        self._buffer += data
        return data

    def rest(self):
        """All that comes until the end; a reset is an error."""
        while self.more():
            pass
        rest, self._buffer = self._buffer, b""
        return rest

    def until(self, mark):
        while mark not in self._buffer:
            assert self.more(), f"it ended with {self._buffer!r}"
        before, _, self._buffer = self._buffer.partition(mark)
        return before + mark

    def exactly(self, size):
        while len(self._buffer) < size:
            assert self.more(), f"it ended with {self._buffer!r}"
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def answer(self, *, has_body=True):
        """(status, head, body) of one final answer."""
        while True:
            head = self.until(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            if status >= 200:
                break
        lower = head.lower()
        if not has_body or status in {204, 304}:
            return status, head, b""
        if b"\r\ntransfer-encoding: chunked\r\n" in lower:
            return status, head, self.chunked()
        for line in lower.split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return status, head, self.exactly(int(line.partition(b":")[2]))
        return status, head, self.rest()

    def chunked(self):
        body = b""
        while size := int(self.until(b"\r\n"), 16):
            body += self.exactly(size)
            assert self.exactly(2) == b"\r\n"
        while self.until(b"\r\n") != b"\r\n":
            pass
        return body

    def ended(self):
        """Wait for the end; True when it is an orderly one."""
        try:
            return self.rest() == b""
        except ConnectionResetError:
            return False


def wait_until(condition):
    """Look again and again: what another thread does takes its time."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.005)
