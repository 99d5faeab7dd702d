"""Requests that two readers might read differently: the server behind never sees them."""

import contextlib
import os
import random
import socket

import h11
import pytest
from endpoint import SERVER_PORT, TOKEN, Direct, Recorder, Running, wait_until

from mcp_client.executor.http import services
from mcp_client.executor.http.guard import Guard

HOST = b"Host: {host}\r\n"
GET, POST = b"GET / HTTP/1.1\r\n" + HOST, b"POST / HTTP/1.1\r\n" + HOST
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n"

REFUSED = {
    "length and chunks": (400, POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "chunks and length": (400, POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
    "two lengths": (400, POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd"),
    "two lengths in one": (400, POST + b"Content-Length: 4, 5\r\n\r\nabcd"),
    "signed length": (400, POST + b"Content-Length: +4\r\n\r\nabcd"),
    "negative length": (400, POST + b"Content-Length: -4\r\n\r\nabcd"),
    "hexadecimal length": (400, POST + b"Content-Length: 0x4\r\n\r\nabcd"),
    "length with underscore": (400, POST + b"Content-Length: 1_0\r\n\r\nabcd"),
    "empty length": (400, POST + b"Content-Length: \r\n\r\nabcd"),
    "endless length": (400, POST + b"Content-Length: " + b"9" * 50 + b"\r\n\r\nabcd"),
    "another coding": (501, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "chunked twice": (501, POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    "two codings": (501, POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n"),
    "obscured coding": (400, POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n"),
    "HTTP/1.0 in chunks": (400, b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"),
    "space before colon": (400, POST + b"Content-Length : 4\r\n\r\nabcd"),
    "space before name": (400, b"GET / HTTP/1.1\r\n X: 1\r\n" + HOST + b"\r\n"),
    "folded line": (400, GET + b"X: 1\r\n Transfer-Encoding: chunked\r\n\r\n"),
    "folded with tab": (400, GET + b"X: 1\r\n\tmore\r\n\r\n"),
    "bare line feed": (400, GET + b"X: 1\nY: 2\r\n\r\n"),
    "only line feeds": (400, b"GET / HTTP/1.1\nHost: {host}\n\n"),
    "bare carriage return": (400, GET + b"X: 1\rY: 2\r\n\r\n"),
    "null byte": (400, GET + b"X: 1\x00\r\n\r\n"),
    "control character": (400, GET + b"X: 1\x1b[2J\r\n\r\n"),
    "no colon": (400, GET + b"X\r\n\r\n"),
    "no name": (400, GET + b": x\r\n\r\n"),
    "odd name": (400, GET + b"X(): x\r\n\r\n"),
    "leading line": (400, b"\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "HTTP/0.9": (400, b"GET /\r\n\r\n"),
    "HTTP/0.9 by name": (505, b"GET / HTTP/0.9\r\n" + HOST + b"\r\n"),
    "HTTP/1.2": (505, b"GET / HTTP/1.2\r\n" + HOST + b"\r\n"),
    "HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "lower case version": (400, b"GET / http/1.1\r\n" + HOST + b"\r\n"),
    "two spaces": (400, b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "space in target": (400, b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n"),
    "tab in line": (400, b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    "byte above ASCII": (400, b"GET /\xe9 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "absolute target": (400, b"GET http://{host}/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    "no path": (400, b"GET mcp HTTP/1.1\r\n" + HOST + b"\r\n"),
    "asterisk": (400, b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n"),
    "fragment": (400, b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n"),
    "CONNECT": (405, b"CONNECT {host} HTTP/1.1\r\n" + HOST + b"\r\n"),
    "TRACE": (405, b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "unknown method": (501, b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "lower case method": (501, b"get / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "odd method": (400, b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "long line": (414, b"GET /" + b"a" * (20 << 10) + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    "line without end": (414, b"GET /" + b"a" * (20 << 10)),
    "large field": (431, GET + b"X: " + b"a" * (64 << 10) + b"\r\n\r\n"),
    "many fields": (431, GET + b"X: 1\r\n" * 12000 + b"\r\n"),
    "fields without end": (431, GET + b"X: 1\r\n" * 40000),
}  # fmt: skip

BAD_BODIES = {
    "size of a chunk": b"x\r\nabc\r\n0\r\n\r\n",
    "signed size": b"+3\r\nabc\r\n0\r\n\r\n",
    "size with prefix": b"0x3\r\nabc\r\n0\r\n\r\n",
    "longer chunk": b"3\r\nabcd\r\n0\r\n\r\n",
    "chunk without its end": b"3\r\nabcX\r0\r\n\r\n",
    "bare line feeds": b"3\nabc\n0\n\n",
    "line feed in extension": b"3;a\nabc\r\n0\r\n\r\n" + b"3\r\nabc\r\n0\r\n\r\n",
    "endless extension": b"3;" + b"a" * (70 << 10),
    "odd trailer": b"3\r\nabc\r\n0\r\nX\r\n\r\n",
    "endless trailer": b"3\r\nabc\r\n0\r\n" + b"X: 1\r\n" * 20000,
    "size that wraps": b"10000000000000000000000003\r\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_ambiguous_is_refused_and_what_follows_is_not_read(serve, name):
    status, request = REFUSED[name]
    running = serve()

    with running.client() as client:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            client.send(request + SMUGGLED)
        assert client.answer()[0] == status
        assert client.ended()

    assert running.recorder.seen == []
    assert sum(running.close()["refused"].values()) == 1


@pytest.mark.parametrize("name", sorted(BAD_BODIES))
def test_a_malformed_body_is_not_passed_on(serve, name):
    running = serve()

    with running.client() as client:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
            client.send(BAD_BODIES[name] + SMUGGLED)
        assert client.answer()[0] in {400, 431}
        assert client.ended()

    assert b"smuggled" not in running.recorder.bytes
    assert not running.recorder.bytes.endswith(b"0\r\n\r\n")


def test_a_body_that_looks_like_a_request_stays_a_body(serve):
    running = serve()
    body = SMUGGLED * 2

    with running.client() as client:
        body = body.replace(b"{host}", running.host.encode())
        client.send(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert client.answer()[0] == 200
        client.send(b"GET /next HTTP/1.1\r\n" + HOST + b"\r\n")
        assert client.answer()[0] == 200

    own = b"Host: localhost:%d\r\n" % SERVER_PORT
    assert running.recorder.bytes == (
        b"POST / HTTP/1.1\r\n" + own + b"Content-Length: %d\r\n\r\n" % len(body) + body
        + b"GET /next HTTP/1.1\r\n" + own + b"\r\n"
    )  # fmt: skip


def test_garbage_after_a_request_is_refused_after_its_answer(serve):
    running = serve()

    with running.client() as client:
        client.send(POST + b"Content-Length: 2\r\n\r\n{}\x00\x01garbage\r\n\r\n" + SMUGGLED)
        assert client.answer()[0] == 200
        assert client.answer()[0] == 400
        assert client.ended()

    assert b"smuggled" not in running.recorder.bytes


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 099 Low\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * (80 << 10),
        b"",
    ],
)
def test_an_answer_that_is_none_becomes_502(serve, answer):
    def handle(conversation):
        conversation.head()
        conversation.send(answer)

    running = serve(handle)

    with running.client() as client:
        client.send(b"GET / HTTP/1.1\r\nUpgrade: x\r\nConnection: upgrade\r\n" + HOST + b"\r\n")
        assert client.answer()[0] == 502
        client.send(GET + b"\r\n")
        assert client.answer()[0] == 502


def test_an_answer_with_two_lengths_of_different_kinds_gets_one(serve):
    def handle(conversation):
        conversation.head()
        conversation.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
        )

    running = serve(handle)

    _, head, body = running.ask(GET + b"\r\n")

    assert (head, body) == (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"ab")


def test_more_than_one_answer_is_not_given_to_the_next_request(serve):
    def handle(conversation):
        conversation.head()
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
        conversation.send(answer + b"mine" + answer + b"evil")
        conversation.more()

    running = serve(handle)

    with running.client() as client:
        for _ in range(3):
            client.send(GET + b"\r\n")
            assert client.answer()[2] == b"mine"


# What fuzzing starts from; each with what makes a reader stumble.
TO_US = b"Host: {host}\r\nAuthorization: Bearer TOKEN\r\n"
SEEDS = [
    b"GET /mcp HTTP/1.1\r\n" + TO_US + b"Accept: text/event-stream\r\n\r\n",
    b"POST /mcp HTTP/1.1\r\n" + TO_US + b"Content-Length: 11\r\n\r\nhello world",
    b"POST /mcp HTTP/1.1\r\n" + TO_US + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-T: 1\r\n\r\n",
    b"DELETE /mcp HTTP/1.1\r\n" + TO_US + b"Mcp-Session-Id: x\r\nConnection: close\r\n\r\n",
    b"OPTIONS /mcp HTTP/1.0\r\n" + TO_US + b"\r\n",
]  # fmt: skip
SPICE = [
    *(bytes([byte]) for byte in b"\r\n\0 \t:;,01f\xff"), b"\r\n", b"\r\n\r\n", b"\n\n", b"0\r\n\r\n",
    b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: evil\r\n", b"Upgrade: h2c\r\n",
    b"Connection: content-length\r\n", b"Connection: upgrade\r\n", b"Expect: 100-continue\r\n", b"HTTP/1.0",
    b"Origin: https://evil.example\r\n", b"http://evil/", b"CONNECT ", b"GET ", b"5\r\n",
]  # fmt: skip


def mutate(dice, message):
    data = bytearray(message)
    for _ in range(dice.choice((0, 1, 1, 2, 3, 8))):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(5):
            case 0:
                data[at:at] = dice.choice(SPICE)
            case 1:
                del data[at : at + dice.choice((1, 1, 2, 10))]
            case 2 if at < len(data):
                data[at] = dice.randrange(256)
            case 3:
                data[at : at + 2] = dice.choice(SPICE)
            case 4:
                other = dice.choice(SEEDS)
                cut = dice.randrange(len(other))
                data[at:at] = other[cut : cut + dice.randrange(1, 60)]
    return bytes(data)


def check_seen(seen):
    """The server must read what the proxy meant: whole requests of ours, the last one perhaps cut off."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(bytes(seen))
    while (event := server.next_event()) is not h11.NEED_DATA:
        if isinstance(event, h11.Request):
            names = [name for name, _ in event.headers]
            fields = dict(event.headers)
            assert fields[b"host"] == b"localhost:%d" % SERVER_PORT
            assert names.count(b"host") == 1
            assert not {b"content-length", b"transfer-encoding"} <= set(names)
            assert not {b"authorization", b"origin", b"upgrade", b"connection", b"te"} & set(names)
            assert event.target.startswith(b"/")
        if event is h11.PAUSED:
            server.send(h11.Response(status_code=200, headers=[(b"Content-Length", b"0")]))
            server.send(h11.EndOfMessage())
            server.start_next_cycle()


def echo(conversation):
    """Answer as h11 reads it."""
    server = h11.Connection(h11.SERVER)
    while True:
        try:
            event = server.next_event()
        except h11.RemoteProtocolError:
            # Cut off in the middle; what was seen is looked at later.
            return
        if event is h11.NEED_DATA:
            server.receive_data(conversation.more())
        elif isinstance(event, h11.EndOfMessage):
            conversation.send(server.send(h11.Response(status_code=200, headers=[(b"Content-Length", b"0")])))
            conversation.send(server.send(h11.EndOfMessage()) or b"")
            if server.our_state is not h11.DONE:
                return
            server.start_next_cycle()
        elif isinstance(event, h11.ConnectionClosed):
            return


def test_the_check_of_the_next_test_finds_what_is_wrong():
    own = b"Host: localhost:%d\r\n" % SERVER_PORT
    for wrong in (
        b"GET / HTTP/1.1\r\nHost: evil\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + own + b"Origin: x\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + own + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + own + b"\r\ngarbage\r\n\r\n",
    ):
        with pytest.raises((AssertionError, h11.RemoteProtocolError)):
            check_seen(wrong)


ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nVary: x\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a=b\r\n!\r\n0\r\nX-T: 1\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nConnection: close\r\n\r\n",
]
ASKED = [
    b"GET / HTTP/1.1\r\n" + HOST + b"\r\n",
    b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n",
    b"POST / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    b"GET / HTTP/1.0\r\n" + HOST + b"\r\n",
]


@pytest.mark.parametrize("seed", range(2))
def test_whatever_the_server_answers_clients_get_one_answer_each(seed, monkeypatch):
    monkeypatch.setattr(services, "_LEAVING_SECONDS", 0.02)
    dice = random.Random(seed)
    before = open_descriptors()

    def handle(conversation):
        while (head := conversation.head()) is not None:
            conversation.body(head)
            conversation.send(mutate(dice, dice.choice(ANSWERS)))
            if dice.randrange(2):
                return

    recorder = Recorder(handle)
    running = Running(Direct(recorder.address))
    for _ in range(400):
        client_side = h11.Connection(h11.CLIENT)
        request = dice.choice(ASKED)
        method, target, _ = request.split(b" ", 2)
        client_side.send(h11.Request(method=method, target=target, headers=[(b"Host", b"x")]))
        client_side.send(h11.EndOfMessage())
        with running.client() as client:
            client.send(request)
            client.end.shutdown(socket.SHUT_WR)
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                answer = client.rest()
        client_side.receive_data(answer)
        client_side.receive_data(b"")
        # What is cut off is reported as such; nothing else is wrong with it, and nothing follows.
        wrong = ""
        try:
            while not isinstance(client_side.next_event(), h11.EndOfMessage):
                pass
        except h11.RemoteProtocolError as error:
            wrong = str(error)
        assert wrong == "" or "closed" in wrong.lower(), (answer, wrong)
        assert wrong or client_side.trailing_data[0] == b""
    wait_until(lambda: not running.proxy._services.inbounds)
    running.close()
    recorder.close()
    wait_until(lambda: open_descriptors() <= before)


def test_a_mistake_of_ours_ends_one_connection_only(serve, monkeypatch):
    """h11 sends no field like that, wherever it comes from."""
    running = serve()
    wrong = [(b"X", b"a\r\nb")]
    monkeypatch.setattr(Guard, "answer_fields", lambda _, request: wrong if b"/w" in request.target else [])

    for target, host in ((b"/wrong", b"{host}"), (b"/wrong", b"evil")):
        with running.client() as client:
            client.send(b"GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (target, host))
            client.ended()
        assert running.ask(GET + b"\r\n")[0] == 200

    assert running.call(lambda: running.proxy.idle_since) is not None


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("seed", range(4))
def test_whatever_clients_send_the_server_sees_only_whole_requests_of_ours(seed):
    dice = random.Random(seed)
    before = open_descriptors()
    recorder = Recorder(echo)
    running = Running(Direct(recorder.address), Guard(frozenset(), frozenset(), TOKEN))
    answered = 0
    for _ in range(600):
        requests = b"".join(mutate(dice, dice.choice(SEEDS)) for _ in range(dice.choice((1, 1, 1, 2, 4))))
        requests = requests.replace(b"TOKEN", TOKEN.encode())
        with running.client() as client, contextlib.suppress(ConnectionResetError, BrokenPipeError):
            requests = requests.replace(b"{host}", running.host.encode())
            cut = dice.randrange(len(requests) + 1)
            client.send(requests[:cut])
            client.send(requests[cut:])
            match dice.randrange(4):
                case 0:
                    client.end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                case 1:
                    pass
                case _:
                    client.end.shutdown(socket.SHUT_WR)
                    answered += client.rest().startswith(b"HTTP/1.1 ")
    status, _, _ = running.ask(SEEDS[0].replace(b"TOKEN", TOKEN.encode()))
    assert status == 200
    wait_until(lambda: not running.proxy._services.inbounds)
    record = running.close()
    recorder.close()

    assert answered > 250
    assert record["requests"] > 100
    assert sum(record["refused"].values()) > 100
    for seen in filter(None, recorder.seen):
        check_seen(seen)
    wait_until(lambda: open_descriptors() <= before)
