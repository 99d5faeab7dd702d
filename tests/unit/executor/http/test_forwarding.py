"""What the server gets of a request, and the client of an answer."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import textwrap
import threading

import pytest
from endpoint import SERVER_PORT, TOKEN, Direct, Running, answering, wait_until

from mcp_client.executor.http.guard import Guard

OURS = b"Host: localhost:%d\r\n" % SERVER_PORT


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"])
def test_each_method_is_passed_on(serve, method):
    running = serve()

    status, _, body = running.ask(b"%s /mcp?a=1 HTTP/1.1\r\nHost: {host}\r\n\r\n" % method.encode())

    assert (status, body) == (200, b"ok")
    assert running.recorder.bytes == b"%s /mcp?a=1 HTTP/1.1\r\n" % method.encode() + OURS + b"\r\n"


def test_fields_go_through_as_they_are_but_for_those_of_the_connection(serve):
    answer = (
        b"HTTP/1.1 200 Fine\r\nMcp-Session-Id: abc\r\nset-cookie: a=1\r\nSet-Cookie: b=2\r\nX-Hop: 1\r\n"
        b"Connection: X-Hop\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\n"
        b"Access-Control-Allow-Origin: *\r\nContent-Length: 2\r\n\r\nok"
    )
    running = serve(answering(answer))

    _, head, _ = running.ask(
        b"POST /mcp HTTP/1.1\r\nx-first: 1\r\nHost: {host}\r\nmcp-session-id: abc\r\n"
        b"MCP-Protocol-Version: 2026-07-28\r\nLast-Event-ID: 7\r\nMcp-Method: tools/call\r\nMcp-Name: x\r\n"
        b"Mcp-Param-X: =?base64?w7w=?=\r\nCookie: a=1\r\nCookie: b=2\r\nAuthorization: Bearer its-own\r\n"
        b"Forwarded: for=1.2.3.4\r\nTE: trailers\r\nKeep-Alive: 5\r\nProxy-Connection: keep-alive\r\n"
        b"Proxy-Authorization: Basic eDp5\r\nUpgrade: websocket\r\nConnection: Upgrade, x-secret, TE\r\n"
        b"X-Secret: 1\r\nX-Latin: \xe9\r\nContent-Length: 2\r\n\r\n{}"
    )

    assert running.recorder.bytes == (
        b"POST /mcp HTTP/1.1\r\n" + OURS + b"x-first: 1\r\nmcp-session-id: abc\r\n"
        b"MCP-Protocol-Version: 2026-07-28\r\nLast-Event-ID: 7\r\nMcp-Method: tools/call\r\nMcp-Name: x\r\n"
        b"Mcp-Param-X: =?base64?w7w=?=\r\nCookie: a=1\r\nCookie: b=2\r\nAuthorization: Bearer its-own\r\n"
        b"Forwarded: for=1.2.3.4\r\nX-Latin: \xe9\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert head == (
        b"HTTP/1.1 200 Fine\r\nMcp-Session-Id: abc\r\nset-cookie: a=1\r\nSet-Cookie: b=2\r\n"
        b"Content-Length: 2\r\n\r\n"
    )


def test_connection_cannot_name_away_what_makes_the_message(serve):
    running = serve()

    running.ask(
        b"POST / HTTP/1.1\r\nHost: {host}\r\nConnection: content-length, host\r\nContent-Length: 2\r\n\r\n{}"
    )

    assert running.recorder.bytes == b"POST / HTTP/1.1\r\n" + OURS + b"Content-Length: 2\r\n\r\n{}"


def test_our_token_does_not_reach_the_server(serve):
    running = serve(guard=Guard(frozenset(), frozenset(), TOKEN))

    status, _, _ = running.ask(
        b"GET / HTTP/1.1\r\nHost: {host}\r\nAuthorization: bearer %s\r\n\r\n" % TOKEN.encode()
    )

    assert status == 200
    assert running.recorder.bytes == b"GET / HTTP/1.1\r\n" + OURS + b"\r\n"


def test_a_chunked_body_is_framed_anew_and_its_trailer_kept(serve):
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
        b"003;ext=1\r\nabc\r\n1\r\nd\r\n0\r\nX-Sum: 4\r\nConnection: x\r\n\r\n"
    )
    running = serve(answering(chunked))

    with running.client() as client:
        client.send(
            b"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: Chunked\r\nTrailer: X-Sum\r\n\r\n"
            b'0005 \r\nhello\r\n1;evil="\x01"\r\n!\r\n0\r\n'
            b"X-Sum: 6\r\nHost: evil\r\nContent-Length: 9\r\n\r\n"
        )
        answer = client.until(b"0\r\nX-Sum: 4\r\n\r\n")

    assert running.recorder.bytes == (
        b"POST / HTTP/1.1\r\n" + OURS + b"Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"6\r\nhello!\r\n0\r\nX-Sum: 6\r\n\r\n"
    )
    assert answer == (
        b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"4\r\nabcd\r\n0\r\nX-Sum: 4\r\n\r\n"
    )


def test_an_answer_that_ends_with_its_connection_becomes_a_chunked_one(serve):
    def handle(conversation):
        conversation.head()
        conversation.send(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it")

    running = serve(handle)

    status, head, body = running.ask(b"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")

    assert (status, body) == (200, b"all of it")
    assert b"Transfer-Encoding: chunked\r\n" in head


@pytest.mark.parametrize(
    ("request_line", "answer", "expected"),
    [
        (
            b"HEAD / HTTP/1.1",
            b"200 OK\r\nContent-Length: 500\r\n\r\n",
            b"200 OK\r\nContent-Length: 500\r\n\r\n",
        ),
        (b"GET / HTTP/1.1", b"204 No\r\nContent-Length: 5\r\n\r\n", b"204 No\r\n\r\n"),
        (b"GET / HTTP/1.1", b"204 No\r\nTransfer-Encoding: chunked\r\n\r\n", b"204 No\r\n\r\n"),
        (
            b"GET / HTTP/1.1",
            b"304 Same\r\nContent-Length: 5\r\n\r\n",
            b"304 Same\r\nContent-Length: 5\r\n\r\n",
        ),
        (
            b"DELETE / HTTP/1.1",
            b"202 Ok\r\nContent-Length: 0\r\n\r\n",
            b"202 Ok\r\nContent-Length: 0\r\n\r\n",
        ),
    ],
)
def test_answers_without_a_body_leave_the_connections_usable(serve, request_line, answer, expected):
    running = serve(answering(b"HTTP/1.1 " + answer))

    with running.client() as client:
        for _ in range(3):
            client.send(request_line + b"\r\nHost: {host}\r\n\r\n")
            assert client.until(b"\r\n\r\n") == b"HTTP/1.1 " + expected

    assert len(running.recorder.seen) == 1


def test_informational_answers_are_passed_on(serve):
    def handle(conversation):
        head = conversation.head()
        assert b"Expect: 100-continue\r\n" in head
        conversation.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: close\r\n\r\n")
        conversation.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        conversation.body(head)
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    running = serve(handle)

    with running.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert client.until(b"\r\n\r\n") == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert b"{}" not in running.recorder.bytes
        client.send(b"{}")
        assert client.answer()[0] == 200


def test_thousands_of_informational_answers_are_passed_on(serve):
    hint = b"HTTP/1.1 103 Early\r\nA: 1\r\n\r\n"
    running = serve(answering(hint * 5000 + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))

    with running.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")
        assert client.until(b"200 OK\r\n").startswith(hint * 5000)


def test_an_expectation_that_fails_ends_the_connection(serve):
    """The body may follow or not: what comes next cannot be told apart."""

    def handle(conversation):
        conversation.head()
        conversation.send(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")
        conversation.more()

    running = serve(handle)

    with running.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert client.answer()[0] == 417
        assert client.ended()


def test_an_old_client_gets_what_it_understands(serve):
    def handle(conversation):
        head = conversation.head()
        assert b"Expect" not in head
        assert head.startswith(b"GET / HTTP/1.1\r\n")
        conversation.send(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\nok\r\n0\r\nX-T: 1\r\n\r\n"
        )

    running = serve(handle)

    with running.client() as client:
        client.send(b"GET / HTTP/1.0\r\nHost: {host}\r\nExpect: 100-continue\r\n\r\n")
        assert client.rest() == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok"


def test_pipelined_requests_are_answered_in_order(serve):
    def handle(conversation):
        while (head := conversation.head()) is not None:
            body = conversation.body(head)
            path = head.split(b" ")[1]
            conversation.send(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path + body), path + body)
            )

    running = serve(handle)
    requests = [
        b"POST /%d HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\n\r\nabc" % number for number in range(50)
    ]

    with running.client() as client:
        client.send(b"".join(requests))
        assert [client.answer()[2] for _ in requests] == [b"/%dabc" % number for number in range(50)]


@pytest.mark.parametrize("seed", range(8))
def test_bodies_in_chunks_end_where_the_next_request_begins(serve, seed):
    """Whatever is read together: their sizes go beyond what is read at once, and the cuts are anywhere."""
    dice = random.Random(seed)

    def handle(conversation):
        while (head := conversation.head()) is not None:
            size, body = 0, conversation.body(head)
            while line := re.match(rb"([0-9a-f]+)\r\n", body):
                size += int(line[1], 16)
                body = body[line.end() + int(line[1], 16) + 2 :]
            said = b"%s %d" % (head.split(b" ")[1], size)
            conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said))

    running = serve(handle)
    sent, expected = b"", []
    for number in range(12):
        sizes = [dice.choice([1, 10, 5000, 300_000]) for _ in range(dice.randrange(4))]
        sent += b"POST /%d HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % (
            number,
            running.host.encode(),
        )
        sent += b"".join(b"%x\r\n%s\r\n" % (size, b"x" * size) for size in sizes)
        sent += dice.choice([b"0\r\n\r\n", b"0;a=b\r\nX: 1\r\n\r\n"])
        expected.append(b"/%d %d" % (number, sum(sizes)))

    with running.client() as client:
        sender = threading.Thread(target=_send_in_pieces, args=(client, sent, dice))
        sender.start()
        assert [client.answer()[2] for _ in expected] == expected
        sender.join()


def _send_in_pieces(client, data, dice):
    while data:
        size = dice.choice([1, 2, 7, 1000, 70_000, 1_000_000])
        client.send(data[:size])
        data = data[size:]


def test_refusals_between_pipelined_requests_keep_their_place(serve):
    running = serve()
    good, bad = b"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n", b"GET / HTTP/1.1\r\nHost: evil\r\n\r\n"

    with running.client() as client:
        client.send((good + bad * 300) * 2)
        statuses = [client.answer()[0] for _ in range(602)]

    assert statuses == ([200] + [403] * 300) * 2


def test_a_request_may_arrive_byte_by_byte(serve):
    running = serve()

    with running.client() as client:
        request = b"POST / HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        for byte in request % running.host.encode():
            client.send(bytes([byte]))
        assert client.answer()[0] == 200

    _, _, body = running.recorder.bytes.partition(b"\r\n\r\n")
    assert re.sub(rb"[0-9]?\r\n", b"", body) == b"abc"


def test_connection_close_is_for_this_side_only(serve):
    running = serve()

    for _ in range(3):
        with running.client() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
            assert client.rest().endswith(b"\r\n\r\nok")

    assert running.recorder.bytes == (b"GET / HTTP/1.1\r\n" + OURS + b"\r\n") * 3
    assert len(running.recorder.seen) == 1


SERVERS = {
    "node": """
        require("http").createServer((request, response) => {
          let size = 0;
          request.on("data", (data) => { size += data.length; });
          request.on("end", () => {
            response.setHeader("Content-Type", "application/json");
            response.end(JSON.stringify({ size, method: request.method, headers: request.rawHeaders }));
          });
        }).listen(0, "127.0.0.1", function () { console.log(this.address().port); });
    """,
    "python": """
        import http.server, json
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            def do_POST(self):
                left = size = int(self.headers["Content-Length"])
                while left:
                    left -= len(self.rfile.read(min(left, 65536)))
                pairs = [part for pair in self.headers.items() for part in pair]
                body = json.dumps({"size": size, "method": self.command, "headers": pairs}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            def log_message(self, *_):
                pass
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        print(server.server_address[1], flush=True)
        server.serve_forever()
    """,
}


@pytest.mark.parametrize("kind", sorted(SERVERS))
def test_real_servers_take_large_bodies_and_many_requests(kind):
    program = textwrap.dedent(SERVERS[kind])
    command = [sys.executable, "-c", program]
    if kind == "node":
        node = shutil.which("node")
        assert node, "Node is needed: make test installs it"
        command = [node, "-e", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        running = Running(Direct(("127.0.0.1", int(server.stdout.readline()))))
        body = os.urandom(6 << 20)
        with running.client() as client:
            for size in (0, 10, len(body), 3):
                client.send(
                    b"POST /mcp HTTP/1.1\r\nHost: {host}\r\nX-N: 1\r\nContent-Length: %d\r\n\r\n" % size
                )
                client.end.sendall(body[:size])
                status, _, answer = client.answer()
                told = json.loads(answer)
                assert (status, told["size"], told["method"]) == (200, size, "POST")
                assert told["headers"] == [
                    "Host", f"localhost:{SERVER_PORT}", "X-N", "1", "Content-Length", str(size),
                ]  # fmt: skip
        assert running.upstream.asked == 1
        server.kill()
        wait_until(lambda: running.ask(b"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")[0] == 502)
        running.close()
