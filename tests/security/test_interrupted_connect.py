"""A signal while a connection is decided about: it may not look to the server as if the attempt went on."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from arena.sandbox import Outside, run_inside

from mcp_client.executor.egress import Egress

NAME = "api.example.com"
PROGRAM = f"""
import signal, socket, sys
address = socket.gethostbyname({NAME!r}), int(sys.argv[1])
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.1, 0.05)
with socket.create_connection(address, 10) as end:
    signal.setitimer(signal.ITIMER_REAL, 0)
    end.sendall(b"x")
    print(end.recv(1))
"""


@pytest.fixture
def port() -> Iterator[int]:
    """A host that echoes one byte of one connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.sendall(connection.recv(1))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def _has_killable_wait() -> bool:
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int(minor)) >= (5, 19)


@pytest.mark.skipif(not _has_killable_wait(), reason="before Linux 5.19 a signal may come in between")
def test_a_signal_does_not_come_between(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    act = Egress._act

    def act_late(self: Egress, message: Any) -> None:
        time.sleep(0.4)
        act(self, message)

    monkeypatch.setattr(Egress, "_act", act_late)
    outside = Outside([NAME, "127.0.0.1"], names={NAME: ["127.0.0.1"]})

    inside = run_inside(PROGRAM, [str(port)], outside=outside)

    assert (inside.output, inside.errors) == (b"b'x'\n", b"")
