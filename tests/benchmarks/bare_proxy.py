"""Our HTTP proxy alone, in the loop that the supervisor has, before the server on the port that is given."""

import select
import socket
import sys
import time
from collections.abc import Callable

from mcp_client.executor.http.guard import Guard
from mcp_client.executor.http.proxy import Proxy


class Upstream:
    """Connects right here."""

    def __init__(self, port: int) -> None:
        self._port = port

    def connect(self, on_socket: Callable[[socket.socket | None], None]) -> None:
        end = socket.socket()
        end.setblocking(False)
        end.connect_ex(("127.0.0.1", self._port))
        on_socket(end)


def run_proxy(port: int) -> None:
    """Say the proxy's own port and go on for good."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    ours = listener.getsockname()[1]
    guard = Guard(frozenset({f"127.0.0.1:{ours}"}), frozenset(), None)
    proxy = Proxy(listener, Upstream(port), guard, port=port)
    print(ours, flush=True)
    poll = select.poll()
    proxy.watch(poll)
    while True:
        due = proxy.due_at
        wait = None if due is None else max(0.0, due - time.monotonic()) * 1000 + 1
        proxy.move(poll, dict(poll.poll(wait)))


if __name__ == "__main__":
    run_proxy(int(sys.argv[1]))
