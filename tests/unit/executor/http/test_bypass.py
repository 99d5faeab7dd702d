"""The rest of a long body whose length is known goes past h11: everything else stays as it is."""

import contextlib
import hashlib
import os
import random
import socket
import threading
import time

import pytest
from endpoint import answering, wait_until

from mcp_client.executor.http import link
from mcp_client.network.engine.pipe import SMALLEST, Pipe

LONG = 6 << 20
GET = b"GET /mcp HTTP/1.1\r\nHost: {host}\r\n\r\n"
NEXT = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"


def content(size):
    return random.Random(size).randbytes(1 << 16) * (size // (1 << 16)) + bytes(size % (1 << 16))


@pytest.fixture
def passed(monkeypatch):
    """Bytes that went through a pipe: none of these tests would otherwise fail if there were no pipes.

    Connections are kept for long, so that those to the server can be counted.
    """
    monkeypatch.setattr(link, "_KEPT_SECONDS", 120.0)
    counted = []
    fill = Pipe.fill

    def count(self, source):
        size = fill(self, source)
        counted.append(size or 0)
        return size

    monkeypatch.setattr(Pipe, "fill", count)
    return counted


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def send_long(client, data):
    """Without a copy for the address, in a thread: who sends so much must read at the same time."""
    thread = threading.Thread(target=client.end.sendall, args=(data,), daemon=True)
    thread.start()
    return thread


def test_a_long_answer_arrives_and_the_connections_go_on(serve, passed):
    data = content(LONG + 77)

    def handle(conversation):
        while (head := conversation.head()) is not None:
            if b"/mcp" in head:
                conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
            else:
                conversation.send(NEXT)

    running = serve(handle)

    with running.client() as client:
        for _ in range(3):
            client.send(GET)
            _, _, body = client.answer()
            assert hashlib.sha256(body).digest() == hashlib.sha256(data).digest()
            client.send(GET.replace(b"/mcp", b"/"))
            assert client.answer()[2] == b"next"

    assert sum(passed) > 2 * LONG
    assert len(running.recorder.connections) == 1


@pytest.mark.parametrize("behind", [b"", GET])
def test_a_long_request_arrives_and_the_connections_go_on(serve, passed, behind):
    data = content(LONG + 13)
    seen = []

    def handle(conversation):
        while (head := conversation.head()) is not None:
            if b"POST" in head:
                digest, left = hashlib.sha256(conversation._buffer), len(data) - len(conversation._buffer)
                while left:
                    more = conversation.end.recv(min(left, 1 << 20))
                    digest.update(more)
                    left -= len(more)
                conversation._buffer = b""
                seen.append(digest.digest())
            conversation.send(NEXT)

    running = serve(handle)

    with running.client() as client:
        for _ in range(3):
            client.send(b"POST /mcp HTTP/1.1\r\nHost: {host}\r\nContent-Length: %d\r\n\r\n" % len(data))
            sender = send_long(client, data + behind.replace(b"{host}", running.host.encode()))
            for _ in range(2 if behind else 1):
                assert client.answer()[2] == b"next"
            sender.join()
        client.send(GET)
        assert client.answer()[2] == b"next"

    assert seen == [hashlib.sha256(data).digest()] * 3
    assert sum(passed) > 2 * LONG
    assert len(running.recorder.connections) == 1


def test_both_directions_may_be_long_at_the_same_time(serve, passed):
    data = content(LONG)

    def handle(conversation):
        conversation.head()
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LONG)
        rest = conversation._buffer
        digest, left = hashlib.sha256(rest), LONG - len(rest)
        conversation.send(rest)
        while left:
            more = conversation.end.recv(min(left, 1 << 18))
            digest.update(more)
            left -= len(more)
            conversation.send(more)
        assert digest.digest() == hashlib.sha256(data).digest()

    running = serve(handle)

    with running.client() as client:
        client.send(b"POST /mcp HTTP/1.1\r\nHost: {host}\r\nContent-Length: %d\r\n\r\n" % LONG)
        sender = send_long(client, data)
        assert client.answer()[2] == data
        sender.join()

    assert sum(passed) > LONG


@pytest.mark.parametrize("close", [b"Connection: close\r\n", b""])
def test_who_wants_the_connection_to_end_gets_that(serve, passed, close):
    data = content(LONG)
    running = serve(answering(b"HTTP/1.1 200 OK\r\n" + close + b"Content-Length: %d\r\n\r\n" % LONG + data))

    with running.client() as client:
        client.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert client.answer()[2] == data
        assert client.ended()
    with running.client() as client:
        client.send(GET)
        assert client.answer()[2] == data

    assert len(running.recorder.connections) == (2 if close else 1)
    assert sum(passed) > LONG


def test_what_the_server_adds_to_its_answer_reaches_nobody(serve, passed):
    data = content(LONG)
    smuggled = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled"

    def handle(conversation):
        while conversation.head() is not None:
            conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LONG + data + smuggled)

    running = serve(handle)

    with running.client() as client:
        for _ in range(3):
            client.send(GET)
            assert client.answer()[2] == data
            # Later bytes may arrive after the answer; then, too, the connection is not used again.
            time.sleep(0.05)

    assert len(running.recorder.connections) == 3
    assert sum(passed) > LONG


@pytest.mark.parametrize("reset", [False, True])
def test_an_answer_that_breaks_off_is_not_taken_for_whole(serve, passed, reset):
    def handle(conversation):
        conversation.head()
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LONG + bytes(LONG // 2))
        if reset:
            conversation.end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    running = serve(handle)
    before = descriptors()

    for _ in range(3):
        with running.client() as client:
            client.send(GET)
            client.until(b"\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert len(client.rest()) < LONG

    assert sum(passed) > 0
    wait_until(lambda: descriptors() <= before)
    assert running.close()["aborted"] == 3


@pytest.mark.parametrize("side", ["client", "server"])
def test_either_side_may_leave_in_the_middle(serve, passed, side):
    going = []

    def handle(conversation):
        conversation.head()
        for _ in range(200):
            conversation.more()
        going.append(True)
        if side == "client":
            while conversation.more():
                pass
            going.append("end")

    running = serve(handle)
    before = descriptors()

    for _ in range(3):
        going.clear()
        with running.client() as client:
            client.send(b"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: %d\r\n\r\n" % (8 * LONG))
            client.end.sendall(bytes(SMALLEST))
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                for _ in range(30):
                    client.end.sendall(bytes(SMALLEST))
                    if going:
                        break
        if side == "client":
            wait_until(lambda: "end" in going)

    assert sum(passed) > 0
    wait_until(lambda: descriptors() <= before)
    assert running.close()["aborted"] == 3


def test_half_a_long_body_and_then_an_end_is_answered(serve, passed):
    def handle(conversation):
        conversation.head()
        while conversation.more():
            pass

    running = serve(handle)

    with running.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: %d\r\n\r\n" % LONG)
        client.end.sendall(bytes(LONG // 2))
        wait_until(lambda: sum(passed) > LONG // 4)
        client.end.shutdown(socket.SHUT_WR)
        assert client.answer()[0] == 400


def test_a_server_may_refuse_a_long_body_before_it_has_it(serve, passed):
    def handle(conversation):
        conversation.head()
        while sum(passed) == 0:
            conversation.more()
        conversation.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        conversation.more()

    running = serve(handle)

    with running.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: %d\r\n\r\n" % (8 * LONG))
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            client.end.settimeout(1)
            for _ in range(40):
                client.end.sendall(bytes(SMALLEST))
        client.end.settimeout(20)
        assert client.answer()[0] == 413


def test_without_descriptors_for_a_pipe_it_goes_the_usual_way(serve, passed, monkeypatch):
    data = content(LONG)
    running = serve(answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LONG + data))

    def exhausted(_flags):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pipe2", exhausted)
    with running.client() as client:
        client.send(GET)
        assert client.answer()[2] == data

    assert sum(passed) == 0
