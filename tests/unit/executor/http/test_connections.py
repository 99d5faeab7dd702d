"""Connections: kept, gone stale, too many, too slow; and the end of a run."""

import contextlib
import os
import resource
import select
import socket
import subprocess
import sys
import time

import pytest
from endpoint import Direct, Recorder, Running, answering, wait_until

from mcp_client.executor.http import link as links
from mcp_client.executor.http import proxy as proxies
from mcp_client.executor.http import services
from mcp_client.executor.http.counts import Counts

GET = b"GET /mcp HTTP/1.1\r\nHost: {host}\r\n\r\n"
POST = b"POST /mcp HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\n{}"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
HERE = os.path.dirname(os.path.abspath(__file__))


def in_turns(*handlers):
    """One after the other for the connections as they come; the last one for all that follow."""
    left = list(handlers)

    def handle(conversation):
        (left.pop(0) if len(left) > 1 else left[0])(conversation)

    return handle


def once_and_close(conversation):
    conversation.body(conversation.head())
    conversation.send(OK)


def once_and_close_at_the_next(conversation):
    """As a server does that decides to close while a request is on its way."""
    once_and_close(conversation)
    conversation.head()


def once_and_reset_at_the_next(conversation):
    once_and_close_at_the_next(conversation)
    conversation.end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


@pytest.mark.parametrize("request_", [GET, POST])
def test_a_connection_that_the_server_closed_is_not_used_again(serve, request_):
    running = serve(once_and_close)

    with running.client() as client:
        for _ in range(20):
            client.send(request_)
            assert client.answer()[0] == 200
            # Until its end has arrived, nobody can know; the proxy is asked between two of its moves.
            wait_until(lambda: running.call(lambda: not running.proxy._pool._kept))

    assert len(running.recorder.seen) == 20


@pytest.mark.parametrize("stale", [once_and_close_at_the_next, once_and_reset_at_the_next])
def test_a_request_that_may_be_repeated_is_repeated_once(serve, stale):
    running = serve(in_turns(stale, answering()))

    with running.client() as client:
        for _ in range(3):
            client.send(GET)
            assert client.answer()[0] == 200

    assert [seen.count(b"GET") for seen in running.recorder.seen] == [2, 2]


def test_it_is_not_repeated_twice(serve):
    def never(conversation):
        conversation.head()

    running = serve(in_turns(once_and_close_at_the_next, never))

    with running.client() as client:
        client.send(GET)
        assert client.answer()[0] == 200
        client.send(GET)
        assert client.answer()[0] == 502

    assert len(running.recorder.seen) == 2


@pytest.mark.parametrize("stale", [once_and_close_at_the_next, once_and_reset_at_the_next])
def test_a_request_that_may_have_been_obeyed_is_not_repeated(serve, stale):
    running = serve(in_turns(stale, answering()))

    with running.client() as client:
        client.send(POST)
        assert client.answer()[0] == 200
        client.send(POST)
        assert client.answer()[0] == 502
        client.send(POST)
        assert client.answer()[0] == 200

    assert running.recorder.bytes.count(b"POST") == 3
    assert running.close()["aborted"] == 1


def test_kept_connections_are_closed_after_a_while(serve, monkeypatch):
    monkeypatch.setattr(links, "_KEPT_SECONDS", 0.05)
    gone = []

    def handle(conversation):
        conversation.head()
        conversation.send(OK)
        gone.append(conversation.more())

    running = serve(handle)

    assert running.ask(GET)[0] == 200
    wait_until(lambda: gone == [b""])


def test_no_more_connections_are_kept_than_needed(serve, monkeypatch):
    monkeypatch.setattr(links, "_MOST_KEPT", 2)
    running = serve()
    clients = [running.client() for _ in range(6)]

    for client in clients:
        client.send(GET)
    for client in clients:
        assert client.answer()[0] == 200
        client.end.close()

    wait_until(lambda: running.call(lambda: len(running.proxy._pool._kept)) <= 2)


def test_while_there_is_no_server_the_answer_is_502_on_the_same_connection(serve):
    running = serve()
    address, running.upstream.address = running.upstream.address, None

    with running.client() as client:
        for request in (GET, POST):
            client.send(request)
            assert client.answer()[0] == 502
        # Nobody listens there.
        with socket.create_server(("127.0.0.1", 0)) as unused:
            running.upstream.address = unused.getsockname()
        for request in (GET, POST):
            client.send(request)
            assert client.answer()[0] == 502
        running.upstream.address = address
        client.send(POST)
        assert client.answer()[0] == 200


def test_once_the_server_is_gone_everybody_hears_of_it(serve):
    def handle(conversation):
        conversation.head()
        conversation.send(STREAM + b"3\r\nabc\r\n")
        wait_until(lambda: ended)
        conversation.send(b"0\r\n\r\n")

    ended = []
    running = serve(handle)

    with running.client() as streaming, running.client() as waiting, running.client() as late:
        streaming.send(GET)
        streaming.until(b"abc\r\n")
        running.upstream.held = []
        waiting.send(GET)
        wait_until(lambda: running.upstream.held)
        running.call(running.proxy.upstream_gone)
        assert waiting.answer()[0] == 502
        late.send(POST)
        assert late.answer()[0] == 502
        # What the server sent last still arrives.
        ended.append(True)
        assert streaming.exactly(5) == b"0\r\n\r\n"
        # A connection that comes too late is closed.
        running.call(lambda: running.upstream.deliver(running.upstream.held[0]))

    wait_until(lambda: len(running.recorder.seen) == 2)
    assert running.recorder.seen[1] == b""


def test_a_server_that_takes_no_connection_is_504(serve, monkeypatch):
    monkeypatch.setattr(services, "_CONNECT_SECONDS", 0.05)
    running = serve()
    running.upstream.held = []

    assert running.ask(POST)[0] == 504
    running.call(lambda: running.upstream.deliver(running.upstream.held.pop()))

    running.upstream.held = None
    assert running.ask(POST)[0] == 200
    # Longer than that an answer may take.
    assert running.call(lambda: running.proxy._services.connecting.first) is None


def test_an_answer_may_take_longer_than_any_deadline(serve, monkeypatch):
    for name in ("_CONNECT_SECONDS", "_HEAD_SECONDS", "_IDLE_SECONDS", "_LINGER_SECONDS", "_LEAVING_SECONDS"):
        monkeypatch.setattr(services, name, 0.02)

    def handle(conversation):
        conversation.body(conversation.head())
        time.sleep(0.2)
        conversation.send(STREAM)
        time.sleep(0.2)
        conversation.send(b"2\r\nok\r\n")
        time.sleep(0.2)
        conversation.send(b"0\r\n\r\n")

    running = serve(handle)

    with running.client() as client:
        client.send(b"POST /mcp HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\n")
        time.sleep(0.2)
        client.send(b"{}")
        assert client.answer()[2] == b"ok"


def test_a_client_that_leaves_before_there_is_a_connection_leaves_nothing(serve):
    running = serve()
    running.upstream.held = []
    client = running.client()
    client.send(GET)
    wait_until(lambda: running.upstream.held)

    client.end.close()

    wait_until(lambda: not running.proxy._services.inbounds)
    running.call(lambda: running.upstream.deliver(running.upstream.held[0]))
    wait_until(lambda: len(running.recorder.seen) == 1)
    assert running.recorder.seen == [b""]
    assert running.call(lambda: running.proxy.idle_since) is not None


@pytest.mark.parametrize("start", [b"G", b"GET / HTTP/1.1\r\n", GET[:-2]])
def test_slow_heads_are_given_up(serve, monkeypatch, start):
    monkeypatch.setattr(services, "_HEAD_SECONDS", 0.1)
    running = serve()

    with running.client() as client:
        client.send(start)
        assert client.answer()[0] == 408
        assert client.ended()

    assert running.recorder.seen == []
    assert running.close()["refused"] == {"slow head": 1}


def test_bytes_now_and_then_do_not_buy_time(serve, monkeypatch):
    monkeypatch.setattr(services, "_HEAD_SECONDS", 0.3)
    running = serve()

    with running.client() as client:
        client.send(b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(40):
                client.send(b"X: y\r\n")
                time.sleep(0.05)
                if select.select([client.end], [], [], 0)[0]:
                    break
            assert client.answer()[0] == 408

    assert running.recorder.seen == []


def test_who_says_nothing_is_closed_without_a_word(serve, monkeypatch):
    monkeypatch.setattr(services, "_HEAD_SECONDS", 0.05)
    monkeypatch.setattr(services, "_IDLE_SECONDS", 0.05)
    running = serve()

    with running.client() as silent, running.client() as resting:
        resting.send(GET)
        resting.answer()
        assert silent.ended()
        assert resting.ended()


def test_an_end_that_is_not_answered_is_not_waited_for(serve, monkeypatch):
    monkeypatch.setattr(services, "_LINGER_SECONDS", 0.05)
    running = serve()

    with running.client() as client:
        client.send(b"nonsense\r\n\r\n")
        assert client.answer()[0] == 400
        wait_until(lambda: not running.proxy._services.inbounds)


def test_beyond_the_room_clients_are_told_and_resting_ones_make_room(monkeypatch):
    monkeypatch.setattr(proxies, "_MOST_CONNECTIONS", 4)
    monkeypatch.setattr(services, "_LINGER_SECONDS", 0.1)

    def handle(conversation):
        while (head := conversation.head()) is not None:
            conversation.send(STREAM if b"/stream" in head else OK)

    recorder = Recorder(handle)
    running = Running(Direct(recorder.address))
    with contextlib.ExitStack() as stack:
        resting = stack.enter_context(running.client())
        resting.send(GET)
        assert resting.answer()[0] == 200
        streams = [stack.enter_context(running.client()) for _ in range(4)]
        for stream in streams:
            stream.send(GET.replace(b"/mcp", b"/stream"))
            stream.until(b"\r\n\r\n")
        assert resting.ended()
        late = stack.enter_context(running.client())
        late.send(GET)
        status, head, _ = late.answer()
        assert status == 503
        assert b"Retry-After: 1\r\n" in head
        # Whoever comes beyond those who are told waits, and is served when there is room.
        waiting = [stack.enter_context(running.client()) for _ in range(40)]
        streams[0].end.close()
        for client in waiting:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                client.send(GET)
        statuses = {client.answer()[0] for client in waiting}
        assert statuses <= {200, 503}
        wait_until(lambda: running.ask(GET)[0] == 200)
    running.close()
    recorder.close()


LOW = """
import resource, sys
sys.path.insert(0, {here!r})
from endpoint import Direct, Recorder, Running, answering
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
recorder = Recorder(answering())
running = Running(Direct(recorder.address))
print(*recorder.address[1:], running.port, running.proxy._room, flush=True)
sys.stdin.read()
print(running.turns)
"""


def test_with_few_descriptors_clients_wait_and_nothing_turns():
    """Descriptors run out while clients keep coming: the server behind has half of them in this test."""
    with subprocess.Popen(
        [sys.executable, "-c", LOW.format(here=HERE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        _, port, room = map(int, child.stdout.readline().split())
        assert room >= 1
        ends = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
        time.sleep(0.5)
        for end in ends:
            end.close()
        answer = b""
        while not answer.startswith(b"HTTP/1.1 200"):
            with socket.create_connection(("127.0.0.1", port)) as end:
                end.sendall(GET.replace(b"{host}", b"127.0.0.1:%d" % port))
                end.settimeout(20)
                answer = end.recv(1000)
        child.stdin.close()
        assert int(child.stdout.read()) < 2000


def test_its_own_limit_is_raised():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        low = min(256, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (low, hard))
        room = proxies._make_room()
        raised = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert raised == hard or raised >= low + 2 * room
    assert room >= min(1024, (hard - low) // 2 - 64)


def test_draining_lets_answers_end_and_takes_no_more(serve):
    def handle(conversation):
        while (head := conversation.head()) is not None:
            if b"/mcp" in head:
                conversation.body(head)
                conversation.send(STREAM + b"3\r\nabc\r\n")
                wait_until(lambda: ended)
                conversation.send(b"0\r\n\r\n")
            else:
                conversation.send(OK)

    ended = []
    running = serve(handle)

    with running.client() as resting, running.client() as streaming, running.client() as half:
        resting.send(GET.replace(b"/mcp", b"/"))
        resting.answer()
        streaming.send(POST)
        streaming.until(b"abc\r\n")
        half.send(GET[:10])
        wait_until(lambda: running.call(lambda: len(running.proxy._services.inbounds)) == 3)
        time.sleep(0.05)

        running.call(running.proxy.drain)

        with pytest.raises(ConnectionRefusedError):
            running.client()
        assert resting.ended()
        assert not running.call(lambda: running.proxy.drained)
        half.send(GET[10:].replace(b"/mcp", b"/"))
        ended.append(True)
        assert streaming.rest() == b"0\r\n\r\n"
        half.until(b"Connection: close\r\n")
        half.rest()
        wait_until(lambda: running.call(lambda: running.proxy.drained))


def test_draining_does_not_wait_for_those_who_only_listen(serve):
    def handle(conversation):
        conversation.head()
        conversation.send(STREAM + b"3\r\nabc\r\n")
        conversation.more()

    running = serve(handle)

    with running.client() as listening:
        listening.send(GET)
        listening.until(b"abc\r\n")
        assert running.call(lambda: running.proxy.idle_since) is None
        running.call(running.proxy.drain)
        assert running.call(lambda: running.proxy.drained)
        running.recorder.connections[0].sendall(b"3\r\ndef\r\n")
        listening.until(b"def\r\n")
    with pytest.raises(ConnectionRefusedError):
        running.client()


def test_idle_is_counted_from_the_last_answer(serve):
    def handle(conversation):
        while conversation.head() is not None:
            wait_until(lambda: go_on)
            conversation.send(OK)

    go_on = []
    running = serve(handle)
    began = running.call(lambda: running.proxy.idle_since)

    # Who is refused does not keep a server alive.
    running.ask(GET.replace(b"{host}", b"evil"))
    assert running.call(lambda: running.proxy.idle_since) == began
    with running.client() as client:
        client.send(GET)
        wait_until(lambda: running.call(lambda: running.proxy.idle_since) is None)
        go_on.append(True)
        client.answer()
        assert began < running.call(lambda: running.proxy.idle_since) <= time.monotonic()


def test_the_record_tells_what_there_was(serve):
    running = serve(answering(b"HTTP/1.1 404 Not\r\nContent-Length: 0\r\n\r\n"))
    with running.client() as client:
        client.send(GET * 2)
        client.answer()
        client.answer()
    _, head, body = running.ask(GET.replace(b"{host}", b"evil"))
    wait_until(lambda: not running.proxy._services.inbounds)
    host = running.host.encode()

    assert running.close() == {
        "connections": 2,
        "requests": 2,
        "aborted": 0,
        "bytes_received": 2 * len(GET.replace(b"{host}", host)) + len(GET.replace(b"{host}", b"evil")),
        "bytes_sent": 2 * len(b"HTTP/1.1 404 Not\r\nContent-Length: 0\r\n\r\n") + len(head + body),
        "statuses": {"403": 1, "404": 2},
        "refused": {"host": 1},
    }


def test_the_record_stays_small_whatever_a_server_answers():
    counts = Counts()
    for status in range(200, 1000):
        counts.answer(status)

    statuses = counts.to_record()["statuses"]
    assert len(statuses) == 33
    assert statuses["others"] == 800 - 32


def test_closing_ends_everything_at_once(serve):
    def handle(conversation):
        conversation.head()
        conversation.send(STREAM)
        conversation.more()

    before = len(os.listdir("/proc/self/fd"))
    running = serve(handle)
    clients = [running.client() for _ in range(5)]
    for client in clients[:4]:
        client.send(GET)
        client.until(b"\r\n\r\n")

    record = running.close()

    assert (record["requests"], record["aborted"]) == (4, 4)
    for client in clients:
        client.ended()
        client.end.close()
    running.recorder.close()
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before)
