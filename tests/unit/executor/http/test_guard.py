"""Who is let through, and what pages of other sites are told."""

import pytest
from endpoint import ORIGIN, TOKEN, answering

from mcp_client.executor.http.guard import Guard

OPEN = Guard(frozenset({"tunnel.example"}), frozenset({ORIGIN}), None)
PREFLIGHT = (
    b"OPTIONS /mcp HTTP/1.1\r\nHost: {host}\r\nOrigin: %s\r\nAccess-Control-Request-Method: POST\r\n"
    b"Access-Control-Request-Headers: content-type, mcp-param-x\r\n\r\n"
)


def get(*fields, host=b"{host}"):
    return (
        b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n" + b"".join(field + b"\r\n" for field in fields) + b"\r\n"
    )


@pytest.mark.parametrize(
    "host",
    [b"127.0.0.1", b"127.0.0.1:1", b"evil.example", b"evil.example:{port}", b"localhost", b"",
     b"127.0.0.1:{port}.", b"127.0.0.1:{port}, evil", b"user@127.0.0.1:{port}", b"localhost:8080",
     b"0.0.0.0:{port}", b"127.0.0.1:{port}/"],
)  # fmt: skip
def test_another_host_is_refused(serve, host):
    running = serve(guard=OPEN)
    host = host.replace(b"{port}", b"%d" % running.port)

    assert running.ask(get(host=host))[0] == 403
    assert running.recorder.seen == []
    assert running.close()["refused"] == {"host": 1}


@pytest.mark.parametrize(
    "host", [b"127.0.0.1:{port}", b"localhost:{port}", b"LocalHost:{port}", b"tunnel.example"]
)
def test_our_own_hosts_are_let_through(serve, host):
    running = serve(guard=OPEN)

    assert running.ask(get(host=host.replace(b"{port}", b"%d" % running.port)))[0] == 200


def test_without_a_host_nothing_is_passed_on(serve):
    running = serve()

    assert running.ask(b"GET / HTTP/1.1\r\n\r\n")[0] == 400
    assert running.ask(b"GET / HTTP/1.0\r\n\r\n")[0] == 403
    assert running.ask(get(b"Host: {host}"))[0] == 400
    assert running.recorder.seen == []


@pytest.mark.parametrize(
    "origins",
    [(b"null",), (b"https://evil.example",), (b"http://app.example",), (b"https://app.example.evil",), (b"",),
     (b"https://app.example:444",), (b"null", ORIGIN.encode()), (ORIGIN.encode() + b" https://x",)],
)  # fmt: skip
@pytest.mark.parametrize("guard", [None, OPEN])
def test_another_origin_is_refused_and_told_nothing(serve, origins, guard):
    running = serve(guard=guard)

    status, head, _ = running.ask(get(*(b"Origin: " + origin for origin in origins)))

    assert status == 403
    assert b"access-control" not in head.lower()
    assert running.ask(PREFLIGHT % origins[0])[0] == 403
    assert running.recorder.seen == []


def test_a_chosen_origin_may_read_what_it_needs_and_is_not_shown_to_the_server(serve):
    answer = (
        b"HTTP/1.1 200 OK\r\nVary: Accept\r\nAccess-Control-Allow-Origin: *\r\n"
        b"Access-Control-Allow-Credentials: true\r\nContent-Length: 0\r\n\r\n"
    )
    running = serve(answering(answer), guard=OPEN)

    _, head, _ = running.ask(get(b"Origin: " + ORIGIN.encode()))

    assert head == (
        b"HTTP/1.1 200 OK\r\nVary: Accept\r\nContent-Length: 0\r\nVary: Origin\r\n"
        b"Access-Control-Allow-Origin: https://app.example\r\n"
        b"Access-Control-Expose-Headers: Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate\r\n\r\n"
    )
    assert b"rigin" not in running.recorder.bytes


def test_who_sends_no_origin_is_served_and_no_cache_mixes_it_up(serve):
    running = serve(guard=OPEN)

    _, head, _ = running.ask(get())

    assert b"Vary: Origin\r\n" in head
    assert b"Access-Control" not in head


def test_a_preflight_is_answered_without_the_server_and_without_the_token(serve):
    running = serve(guard=OPEN._replace(token=TOKEN))

    with running.client() as client:
        for _ in range(2):
            client.send(PREFLIGHT % ORIGIN.encode())
            status, head, _ = client.answer()
            assert status == 204
            assert b"Access-Control-Allow-Origin: https://app.example\r\n" in head
            assert b"Access-Control-Allow-Methods: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT\r\n" in head
            assert b"Access-Control-Allow-Headers: content-type, mcp-param-x\r\n" in head
            assert b"Content-Length" not in head

    assert running.recorder.seen == []
    assert "refused" not in running.close()


@pytest.mark.parametrize(
    "fields",
    [
        (),
        (b"Authorization: Bearer",),
        (b"Authorization: Bearer ",),
        (b"Authorization: Bearer " + TOKEN.encode()[:-1],),
        (b"Authorization: Bearer " + TOKEN.encode() + b"x",),
        (b"Authorization: Bearer " + TOKEN.upper().encode(),),
        (b"Authorization: Basic " + TOKEN.encode(),),
        (b"Authorization: " + TOKEN.encode(),),
        (b"Authorization: Bearer \xe9",),
        (b"Authorization: Bearer " + TOKEN.encode(), b"Authorization: Bearer " + TOKEN.encode()),
        (b"Proxy-Authorization: Bearer " + TOKEN.encode(),),
    ],
)
def test_without_the_token_nothing_is_passed_on(serve, fields):
    running = serve(guard=OPEN._replace(token=TOKEN))

    status, head, body = running.ask(get(b"Origin: " + ORIGIN.encode(), *fields))

    assert status == 401
    assert b"WWW-Authenticate: Bearer\r\n" in head
    # A page has to be able to see that.
    assert b"Access-Control-Allow-Origin: https://app.example\r\n" in head
    assert TOKEN.encode() not in head + body
    assert running.recorder.seen == []


def test_with_the_token_the_same_connection_goes_on(serve):
    running = serve(guard=OPEN._replace(token=TOKEN))

    with running.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\n{}")
        assert client.answer()[0] == 401
        client.send(get(b"Authorization: Bearer " + TOKEN.encode()))
        assert client.answer()[0] == 200


def test_nothing_of_a_request_shows_in_the_answer_to_the_next(serve):
    running = serve(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), guard=OPEN)

    with running.client() as client:
        client.send(b"HEAD / HTTP/1.1\r\nHost: {host}\r\nOrigin: %s\r\n\r\n" % ORIGIN.encode())
        assert client.answer(has_body=False)[0] == 200
        client.send(b"nonsense\r\n\r\n")
        status, head, body = client.answer()

    assert status == 400
    assert body
    assert b"Access-Control" not in head


def test_a_head_request_is_refused_without_a_body(serve):
    running = serve()

    with running.client() as client:
        client.send(b"HEAD / HTTP/1.1\r\nHost: evil\r\n\r\n")
        assert client.answer(has_body=False)[0] == 403
        client.send(get())
        assert client.answer()[0] == 200


def test_pages_of_the_endpoint_itself_may_ask_and_those_of_its_neighbours_not(serve):
    running = serve()

    def status(origin):
        return running.ask(get(b"Origin: " + origin.replace(b"{port}", b"%d" % running.port)))[0]

    assert status(b"http://127.0.0.1:{port}") == 200
    # The other name of the same place is another origin, and so is the same name in TLS.
    assert status(b"http://localhost:{port}") == 403
    assert status(b"https://127.0.0.1:{port}") == 403
    assert status(b"http://127.0.0.1:1") == 403
    assert b"rigin" not in running.recorder.bytes


def test_without_known_hosts_the_token_decides(serve):
    running = serve(guard=Guard(None, frozenset(), TOKEN))
    token = b"Authorization: Bearer " + TOKEN.encode()

    assert running.ask(get(host=b"rebound.example"))[0] == 401
    assert running.ask(get(b"Origin: http://rebound.example", host=b"rebound.example"))[0] == 401
    assert running.ask(get(b"Origin: http://evil.example", token, host=b"here.example"))[0] == 403
    assert running.recorder.seen == []
    assert running.ask(get(token, host=b"here.example"))[0] == 200
