"""Streams: nothing waits, nobody is flooded, and each side learns that the other is gone."""

import contextlib
import socket
import time

import pytest
from endpoint import PATIENCE, wait_until

from mcp_client.executor.http.channel import LARGEST_READ

ASK = b"GET /mcp HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
# More than the sockets in between hold by themselves.
MUCH = 64 << 20
MOST_IN_BETWEEN = 32 << 20


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_each_event_arrives_before_the_next_is_sent(serve):
    def handle(conversation):
        conversation.head()
        conversation.send(STREAM)
        conversation.more()

    running = serve(handle)

    with running.client() as client:
        client.send(ASK)
        client.until(b"\r\n\r\n")
        for number in range(100):
            event = b"data: %d\n\n" % number
            running.recorder.connections[0].sendall(chunk(event))
            assert client.exactly(len(chunk(event))) == chunk(event)


def test_the_client_may_still_send_while_the_answer_streams(serve):
    def handle(conversation):
        conversation.head()
        conversation.send(STREAM)
        for _ in range(20):
            # One chunk of the request for one of the answer.
            while not conversation.more().endswith(b"\r\n"):
                pass
            conversation.send(chunk(b"got it"))
        conversation.send(b"0\r\n\r\n")

    running = serve(handle)

    with running.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.until(b"\r\n\r\n")
        for number in range(20):
            client.send(chunk(b"part %d" % number))
            assert client.exactly(len(chunk(b"got it"))) == chunk(b"got it")
        assert client.until(b"0\r\n\r\n")


@pytest.mark.parametrize("framing", ["sized", "chunked", "until the end"])
def test_a_slow_client_stops_the_server(serve, framing):
    sent = [0]
    block = bytes(range(256)) * 256

    def handle(conversation):
        conversation.head()
        heads = {
            "sized": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MUCH,
            "chunked": STREAM,
            "until the end": b"HTTP/1.1 200 OK\r\n\r\n",
        }
        conversation.send(heads[framing])
        for _ in range(MUCH // len(block)):
            conversation.send(chunk(block) if framing == "chunked" else block)
            sent[0] += len(block)
        if framing == "chunked":
            conversation.send(b"0\r\n\r\n")

    running = serve(handle)

    with running.client() as client:
        client.send(ASK)
        client.until(b"\r\n\r\n")
        wait_until(lambda: sent[0] > 0)
        before = -1
        while before != sent[0]:
            before = sent[0]
            time.sleep(0.2)
        assert sent[0] < MOST_IN_BETWEEN
        assert running.call(lambda: running.proxy._loop.backlog) <= LARGEST_READ
        received = 0
        if framing == "sized":
            while received < MUCH:
                received += len(client.exactly(len(block)))
        else:
            while size := int(client.until(b"\r\n"), 16):
                assert client.exactly(size) == (block * (size // len(block) + 2))[received % 256 :][:size]
                received += size
                client.exactly(2)
        assert received == MUCH


@pytest.mark.parametrize("framing", ["sized", "chunked"])
def test_a_slow_server_stops_the_client(serve, framing):
    block = bytes(range(256)) * 256
    read_on = []

    def handle(conversation):
        conversation.head()
        wait_until(lambda: read_on)
        received = len(conversation._buffer)
        while b"THE END" not in conversation.seen:
            received += len(conversation.more())
            del conversation.seen[:-9]
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n%08d" % received)

    running = serve(handle)

    with running.client() as client:
        kind = b"Content-Length: %d" % (MUCH + 7) if framing == "sized" else b"Transfer-Encoding: chunked"
        client.send(b"POST / HTTP/1.1\r\nHost: {host}\r\n%s\r\n\r\n" % kind)
        client.end.settimeout(0.5)
        sent = 0
        piece = chunk(block) if framing == "chunked" else block
        left = memoryview(b"")
        with contextlib.suppress(TimeoutError):
            while sent < MUCH:
                left = memoryview(piece)
                while left:
                    left = left[client.end.send(left) :]
                sent += len(block)
        assert sent < MOST_IN_BETWEEN
        assert running.call(lambda: running.proxy._loop.backlog) <= LARGEST_READ
        read_on.append(True)
        client.end.settimeout(PATIENCE)
        client.end.sendall(left)
        sent += len(block)
        while sent < MUCH:
            client.end.sendall(piece)
            sent += len(block)
        client.end.sendall(b"7\r\nTHE END" if framing == "chunked" else b"THE END")
        assert int(client.answer()[2]) >= MUCH


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_a_quiet_stream_is_noticed(serve, how):
    def handle(conversation):
        conversation.head()
        conversation.send(STREAM + chunk(b"data: 1\n\n"))
        assert conversation.more() == b""
        gone.append(True)

    gone = []
    running = serve(handle)
    client = running.client()
    client.send(ASK)
    client.until(b"data: 1\n\n")
    assert running.call(lambda: running.proxy.idle_since) is None

    if how == "reset":
        client.end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.end.close()

    wait_until(lambda: gone)
    assert running.call(lambda: running.proxy.idle_since) is not None
    assert running.close()["aborted"] == 1


def test_a_client_that_leaves_before_the_answer_is_noticed(serve):
    def handle(conversation):
        conversation.head()
        assert conversation.more() == b""
        gone.append(True)

    gone = []
    running = serve(handle)
    client = running.client()
    client.send(b"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\n{}")
    wait_until(lambda: running.recorder.bytes.endswith(b"{}"))

    client.end.close()

    wait_until(lambda: gone)


def test_a_client_that_leaves_a_sized_answer_that_stalls_is_noticed(serve):
    def handle(conversation):
        conversation.head()
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        assert conversation.more() == b""
        gone.append(True)

    gone = []
    running = serve(handle)
    client = running.client()
    client.send(ASK)
    client.until(b"half")

    client.end.close()

    wait_until(lambda: gone)


def test_a_client_that_leaves_in_its_body_leaves_the_server_with_half_a_request(serve):
    def handle(conversation):
        conversation.head()
        while conversation.more():
            pass
        gone.append(True)

    gone = []
    running = serve(handle)
    client = running.client()
    client.send(b"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 10\r\n\r\n12345")
    wait_until(lambda: running.recorder.bytes.endswith(b"12345"))

    client.end.close()

    wait_until(lambda: gone)
    assert running.recorder.bytes.endswith(b"\r\n\r\n12345")


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("framing", ["sized", "chunked", "old client"])
def test_an_answer_that_breaks_off_looks_like_it(serve, framing, reset):
    def handle(conversation):
        conversation.head()
        head = STREAM if framing == "chunked" else b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
        conversation.send(head + (chunk(b"half") if framing == "chunked" else b"half"))
        wait_until(lambda: received)
        if reset:
            conversation.end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    received = []
    running = serve(handle)
    version = b"1.0" if framing == "old client" else b"1.1"

    with running.client() as client:
        client.send(b"GET / HTTP/%s\r\nHost: {host}\r\n\r\n" % version)
        client.until(b"half")
        received.append(True)
        if framing == "old client":
            with pytest.raises(ConnectionResetError):
                client.rest()
        else:
            assert client.rest() == (b"\r\n" if framing == "chunked" else b"")
    assert running.close()["aborted"] == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfull",
        STREAM + chunk(b"full") + b"0\r\n\r\n",
    ],
)
def test_a_client_that_only_ends_its_side_gets_its_answer(serve, answer):
    """As ``printf ... | nc -N`` does it."""

    def handle(conversation):
        conversation.head()
        wait_until(lambda: ended)
        conversation.send(answer)
        conversation.more()

    ended = []
    running = serve(handle)

    with running.client() as client:
        client.send(ASK)
        client.end.shutdown(socket.SHUT_WR)
        wait_until(lambda: running.recorder.bytes)
        ended.append(True)
        assert client.answer()[2] == b"full"
        assert client.ended()


def test_a_client_that_only_ends_its_side_gets_all_of_a_large_answer(serve):
    def handle(conversation):
        conversation.head()
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MUCH + bytes(MUCH))

    running = serve(handle)

    with running.client() as client:
        client.send(ASK)
        client.end.shutdown(socket.SHUT_WR)
        client.until(b"\r\n\r\n")
        received = 0
        time.sleep(0.5)
        while received < MUCH:
            data = client.more()
            assert data
            received += len(client._buffer)
            client._buffer = b""
        assert client.ended()


@pytest.mark.parametrize("kilobytes", [30, 100])
def test_a_client_that_ends_its_side_waits_for_a_server_that_reads_slowly(serve, kilobytes):
    """One read of it is on its way; of more, the rest and the end are still in the socket."""

    def handle(conversation):
        head = conversation.head()
        wait_until(lambda: go_on)
        conversation.body(head)
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")

    go_on = []
    running = serve(handle)
    running.upstream.send_buffer = 4096
    running.recorder.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    with running.client() as client:
        size = kilobytes << 10
        client.send(b"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: %d\r\n\r\n" % size)
        client.end.sendall(bytes(size))
        client.end.shutdown(socket.SHUT_WR)
        wait_until(lambda: running.proxy._services.inbounds)
        (inbound,) = running.proxy._services.inbounds
        wait_until(lambda: inbound._leaving)
        assert inbound._exchange.is_held_up
        time.sleep(0.5)
        go_on.append(True)
        assert client.answer()[2] == b"done"


def test_pipelined_requests_of_a_client_that_ends_its_side_are_all_answered(serve):
    running = serve()

    with running.client() as client:
        client.send(ASK * 3)
        client.end.shutdown(socket.SHUT_WR)
        assert [client.answer()[0] for _ in range(3)] == [200] * 3
        assert client.ended()


@pytest.mark.parametrize(
    "half",
    [b"GET / HT", b"GET / HTTP/1.1\r\nHost: {host}\r\n", ASK[:-2]],
)
def test_half_a_head_and_then_an_end_is_answered_and_not_passed_on(serve, half):
    running = serve()

    with running.client() as client:
        client.send(half)
        client.end.shutdown(socket.SHUT_WR)
        assert client.answer()[0] == 400
        assert client.ended()

    assert running.recorder.seen == []


def test_half_a_body_and_then_an_end_is_answered(serve):
    def handle(conversation):
        conversation.head()
        while conversation.more():
            pass

    running = serve(handle)

    with running.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 10\r\n\r\n12345")
        wait_until(lambda: running.recorder.bytes.endswith(b"12345"))
        client.end.shutdown(socket.SHUT_WR)
        assert client.answer()[0] == 400
        assert client.ended()


def test_an_answer_to_half_a_request_reaches_the_client_that_still_sends(serve):
    def handle(conversation):
        conversation.head()
        conversation.send(b"HTTP/1.1 413 Much\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch")

    running = serve(handle)

    with running.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: %d\r\n\r\n" % (8 << 20))
        client.end.sendall(bytes(8 << 20))
        status, _, body = client.answer()
        assert (status, body) == (413, b"much")


def test_nothing_turns_while_streams_are_quiet(serve):
    def handle(conversation):
        conversation.head()
        conversation.send(STREAM)
        conversation.more()

    running = serve(handle)
    clients = [running.client() for _ in range(20)]
    for client in clients:
        client.send(ASK)
        client.until(b"\r\n\r\n")
    # More than was asked for waits in the socket.
    clients[0].send(ASK * 3)
    time.sleep(0.2)
    before = running.turns
    time.sleep(0.5)
    assert running.turns - before <= 1
    for client in clients:
        client.end.close()
