"""The allowlist where a server has no network of its own: it comes to a proxy on loopback."""

import _socket
import select
import time

from mcp_client.network.engine.engine import Engine

# A server may write, close and exit at once; what it wrote gets so much time to be on its way.
_LAST_BYTES_SECONDS = 2.0


class ProxiedEgress:
    """Driven by the supervisor's poll(2), like the engine behind it."""

    def __init__(self, listener: int, engine: Engine, secret: str) -> None:
        """``listener`` is a socket that the server can connect to, ``secret`` what it shows there."""
        self._engine = engine
        engine.serve_proxy(_socket.socket(fileno=listener), secret)

    @property
    def due_at(self) -> float | None:
        """When move() is to be called even if nothing happens, by the monotonic clock."""
        return self._engine.due_at

    def watch(self, poll: select.poll) -> None:
        """Register all that move() waits for."""
        poll.register(self._engine, select.POLLIN)

    def move(self, poll: select.poll, ready: dict[int, int]) -> None:  # noqa: ARG002  as a companion
        """Do what there is to do, without waiting."""
        due = self._engine.due_at
        if self._engine.fileno() in ready or (due is not None and time.monotonic() >= due):
            self._engine.run_once(0)

    def close(self) -> list[dict[str, object]]:
        """End all connections of a server that is gone; what there was, for the audit record."""
        self._engine.finish(_LAST_BYTES_SECONDS)
        self._engine.close()
        return self._engine.to_record()
