"""A sandboxed program that listens, and connections to it by the product's own way in."""

import os
import select
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from arena.sandbox import filter_folder, python_command
from mcp_client.executor.ingress import Ingress
from mcp_client.policy.model import DEFAULT_LIMITS, NetworkPolicy, Policy
from mcp_client.sandbox.linux.backend import LinuxBackend
from mcp_client.sandbox.linux.ingress import V4
from mcp_client.sandbox.linux.launcher import LinuxProcess

PORT = 8080
_SECONDS = 20


class Listening:
    """The process, the way in, and what the server has written so far."""

    def __init__(self, process: LinuxProcess) -> None:
        assert process.ingress is not None
        self.process = process
        self.ingress = Ingress(process.ingress, PORT)
        self._poll = select.poll()
        self.ingress.watch(self._poll)
        self._poll.register(process.diagnostics, select.POLLIN)
        self.said = b""

    def turn(self) -> None:
        """Let a little time pass."""
        ready = dict(self._poll.poll(20))
        self.ingress.move(self._poll, ready)
        if self.process.diagnostics in ready:
            data = os.read(self.process.diagnostics, 1 << 16)
            self.said += data
            if not data:
                self._poll.unregister(self.process.diagnostics)

    def until(self, condition: Callable[[], object]) -> bool:
        """Whether it came to hold."""
        deadline = time.monotonic() + _SECONDS
        while not condition() and time.monotonic() < deadline:
            self.turn()
        return bool(condition())

    def sockets(self, count: int) -> list[object]:
        """Connecting sockets, or None for each that could not be had."""
        got: list[object] = []
        for _ in range(count):
            self.ingress.take(V4, got.append)
        assert self.until(lambda: len(got) == count), got
        return got

    def talk(self, word: bytes = b"hello") -> bytes:
        """Say a word to the server and hear its answer to the end."""
        (end,) = self.sockets(1)
        assert end is not None
        end.setblocking(True)
        end.settimeout(_SECONDS)
        with closing(end):
            end.sendall(word)
            answer = b""
            while data := end.recv(1 << 16):
                answer += data
            return answer


@contextmanager
def listening(program: str, *, subprocess: bool = False) -> Iterator[Listening]:
    """Execute Python source text as a server with a port would be."""
    policy = Policy({}, subprocess, DEFAULT_LIMITS, (), (), NetworkPolicy())
    with tempfile.TemporaryDirectory() as empty:
        os.chmod(empty, 0o755)
        backend = LinuxBackend(filter_folder())
        spec = backend.plan(
            python_command("-I", "-S", "-c", program), policy, tree=empty, data=None, port=PORT
        )
        process = backend.launch(spec)
        process.await_ready()
        process.release()
        running = Listening(process)
        try:
            yield running
        finally:
            process.kill()
            process.collect()
            running.ingress.close()
            os.close(process.diagnostics)
