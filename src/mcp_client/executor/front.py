"""What stands before a server that listens: from its first sign of life to the last answer.

The supervisor drives it as a companion, asks it for ``reason`` (why the server is to end), tells it to
drain, and closes it once the server is gone.
"""

import select
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from mcp_client.errors import MCPError
from mcp_client.executor.ingress import Ingress
from mcp_client.executor.readiness import Readiness

# What is still on its way to a client when the server has ended gets so much time.
_LAST_BYTES_SECONDS = 2.0


class Service(Protocol):
    """The endpoint or the bridge."""

    @property
    def due_at(self) -> float | None:
        """As a companion."""

    @property
    def idle_since(self) -> float | None:
        """Since when no request is under way, by the monotonic clock; None while one is."""

    @property
    def drained(self) -> bool:
        """Whether every answer is on its way."""

    def watch(self, poll: select.poll) -> None:
        """As a companion."""

    def move(self, poll: select.poll, ready: dict[int, int]) -> None:
        """As a companion."""

    def drain(self) -> None:
        """Begin nothing new."""

    def upstream_gone(self) -> None:
        """The server has ended."""

    def close(self) -> Mapping[str, object]:
        """End everything; the record for the audit log."""


class Front:
    """One server's readiness, and the service that begins with it."""

    def __init__(
        self,
        ingress: Ingress,
        begin: Callable[[], Service],
        *,
        service: Service | None = None,
        health: str | None,
        start_timeout: float,
        idle_timeout: float | None,
    ) -> None:
        """``begin`` is called once, when the server answers; a ``service`` may be there before that."""
        self.reason: str | None = None
        self.failure: MCPError | None = None
        self.ready = False
        self._ingress = ingress
        self._service = service
        self._readiness = Readiness(ingress, health)
        self._start_timeout, self._idle_timeout = start_timeout, idle_timeout
        self._give_up_at = time.monotonic() + start_timeout
        self._begin = begin

    @property
    def due_at(self) -> float | None:
        """As a companion."""
        times = [self._ingress.due_at, self._idle_at()]
        if self._service is not None:
            times.append(self._service.due_at)
        if not self.ready and self.reason is None:
            times += [self._give_up_at, self._readiness.due_at]
        return min((at for at in times if at is not None), default=None)

    @property
    def drained(self) -> bool:
        """Whether the server may be told to end."""
        return self._service is None or not self.ready or self._service.drained

    def watch(self, poll: select.poll) -> None:
        """As a companion."""
        self._ingress.watch(poll)
        if self._service is not None:
            self._service.watch(poll)

    def move(self, poll: select.poll, ready: dict[int, int]) -> None:
        """As a companion."""
        self._ingress.move(poll, ready)
        if not self.ready and self.reason is None:
            self._await_server(poll, ready)
        if self._service is not None:
            self._service.move(poll, ready)
        idle_at = self._idle_at()
        if idle_at is not None and time.monotonic() >= idle_at:
            self.stop(f"idle for {self._idle_timeout:g} s")

    def stop(self, reason: str) -> None:
        """From now on the server is to end; the first reason stays."""
        self.reason = self.reason or reason

    def drain(self) -> None:
        """Begin nothing new."""
        self.stop("drained")
        if self._service is not None:
            self._service.drain()

    def close(self) -> Mapping[str, object]:
        """The server is gone: what is left of its answers goes out, for as long as somebody takes it."""
        record: Mapping[str, object] = {}
        if self._service is not None:
            self._service.upstream_gone()
            self._service.drain()
            _finish(self._service)
            record = self._service.close()
        self._ingress.close()
        return record

    def _idle_at(self) -> float | None:
        if self._idle_timeout is None or self._service is None or not self.ready or self.reason is not None:
            return None
        since = self._service.idle_since
        return None if since is None else since + self._idle_timeout

    def _await_server(self, poll: select.poll, ready: dict[int, int]) -> None:
        self._readiness.move(poll, ready)
        if self._readiness.family is not None:
            self.ready = True
            self._ingress.open(self._readiness.family)
            begun = self._begin()
            if self._service is None:
                self._service = begun
                begun.watch(poll)
        elif time.monotonic() >= self._give_up_at:
            self._readiness.stop(poll)
            seconds = f"{self._start_timeout:g} s"
            self.reason = f"not ready after {seconds}"
            self.failure = MCPError(
                "server-not-ready",
                f"the server did not answer within {seconds} ({self._readiness.describe()})",
                hint="its own messages are above; executor.start_timeout gives it more time",
            )


def _finish(service: Service) -> None:
    poll = select.poll()
    service.watch(poll)
    deadline = time.monotonic() + _LAST_BYTES_SECONDS
    while not service.drained and (left := deadline - time.monotonic()) > 0:
        due = service.due_at
        wait = left if due is None else max(0.0, min(left, due - time.monotonic()))
        service.move(poll, dict(poll.poll(wait * 1000 + 1)))
