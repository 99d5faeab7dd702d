"""When a server counts as ready, against real sockets; and the sockets that lead to it."""

import _socket
import select
import socket
import threading
import time
from contextlib import suppress

import pytest

from mcp_client.executor.ingress import Ingress
from mcp_client.executor.readiness import Readiness
from mcp_client.sandbox.linux.ingress import BATCH, V4, V6, make_entrance


class Nearby:
    """Gives sockets of this network; ``prepare`` may do something to each before it connects."""

    def __init__(self, port, prepare=lambda end: None):
        self.port = port
        self.prepare = prepare

    def take(self, family, on_socket):
        if family == V6:
            on_socket(None)
            return
        end = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK)
        self.prepare(end)
        with suppress(BlockingIOError):
            end.connect(("127.0.0.1", self.port))
        on_socket(end)


def drive(readiness, seconds):
    poll = select.poll()
    readiness.watch(poll)
    deadline = time.monotonic() + seconds
    while readiness.family is None and time.monotonic() < deadline:
        due = readiness.due_at
        wait = 50 if due is None else max(0, min(50, (due - time.monotonic()) * 1000 + 1))
        readiness.move(poll, dict(poll.poll(wait)))
    readiness.stop(poll)
    return readiness.family


@pytest.fixture
def free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_listener_is_enough():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert drive(Readiness(Nearby(server.getsockname()[1]), None), 10) == V4


def test_nobody_is_not_ready(free):
    readiness = Readiness(Nearby(free), None)
    assert drive(readiness, 0.2) is None
    assert readiness.describe() == f"127.0.0.1:{free}: connection refused"


def test_a_connection_to_itself_is_nobody(free):
    """With nobody there, the kernel may choose the port as ours: TCP then connects to itself."""

    def claim(end):
        end.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        end.bind(("127.0.0.1", free))

    readiness = Readiness(Nearby(free, claim), None)
    assert drive(readiness, 0.2) is None
    assert "refused" in readiness.describe()


def answering(answer):
    """A server that gives each connection ``answer`` after it has asked something."""
    server = socket.create_server(("127.0.0.1", 0))
    asked = []

    def serve():
        while True:
            try:
                end, _ = server.accept()
            except OSError:
                return
            with end:
                asked.append(end.recv(999))
                end.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return server, asked


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 503 Wait\r\nContent-Length: 0\r\n\r\n", "status 503"),
        (b"HTTP/1.1 302 There\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "status 302"),
        (b"SSH-2.0-x\r\n", "no answer of HTTP"),
        (b"", "closed without an answer"),
        (b"HTTP/1.1 204 Fine\r\n\r\n", None),
        (b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n", None),
    ],
)
def test_a_health_path_has_to_answer_well(answer, says):
    server, asked = answering(answer)
    with server:
        readiness = Readiness(Nearby(server.getsockname()[1]), "/healthz?now")
        family = drive(readiness, 10 if says is None else 0.3)
        server.shutdown(socket.SHUT_RDWR)
    assert asked[0].startswith(b"GET /healthz?now HTTP/1.1\r\nHost: localhost:")
    if says is None:
        assert family == V4
    else:
        assert family is None
        assert says in readiness.describe()


def turn(ingress, entrance, poll):
    ready = select.select([entrance.descriptor], [], [], 0)[0]
    if ready:
        entrance.answer()
    ingress.move(poll, dict(poll.poll(0)))


def test_sockets_are_there_before_they_are_asked_for():
    entrance, channel = make_entrance()
    with socket.create_server(("127.0.0.1", 0)) as server:
        ingress = Ingress(channel, server.getsockname()[1])
        poll = select.poll()
        ingress.watch(poll)
        got = []
        for _ in range(3):
            ingress.connect(got.append)
        assert got == [], "nobody knows yet where the server listens"
        ingress.open(V4)
        for _ in range(5):
            turn(ingress, entrance, poll)
        assert len(got) == 3
        for _ in range(BATCH - 3 + 1):
            ingress.connect(got.append)
        # The stock was there at once; the one beyond it needs init.
        assert len(got) == BATCH
        for _ in range(5):
            turn(ingress, entrance, poll)
        assert len(got) == BATCH + 1
        for end in got:
            end.close()
        entrance.close()
        ingress.close()
        late = []
        ingress.connect(late.append)
    assert late == [None]


def test_whoever_waits_is_told_when_init_is_gone():
    entrance, channel = make_entrance()
    ingress = Ingress(channel, 9)
    poll = select.poll()
    ingress.watch(poll)
    got = []
    ingress.connect(got.append)
    ingress.take(V4, got.append)
    entrance.close()
    turn_alone = dict(poll.poll(1000))
    ingress.move(poll, turn_alone)
    assert got == [None, None]
    ingress.close()
