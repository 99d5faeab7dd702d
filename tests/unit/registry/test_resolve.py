"""Resolving over HTTP: statuses, dialects, bounds."""

import json
import queue
import socket

import pytest

from mcp_client.errors import MCPError
from mcp_client.reference import parse_reference

POST, GET, STATIC = (
    "POST /v1/packages/acme/one/resolve",
    "GET /v1/packages/acme/one/resolve?ref=1.2.3",
    "GET /packages/acme/one/1.2.3.json",
)
PROBLEM = {"error": "code", "message": "a reason", "details": {}}


def refused(client, reference, code):
    with pytest.raises(MCPError) as caught:
        client.resolve(reference)
    error = caught.value
    assert error.code == code
    assert error.message.isprintable()
    assert error.hint
    return error


def test_a_post(server, open_at, kit):
    server.routes[kit.resolve] = kit.send(200, kit.answer)
    resolution = open_at(server.url + "/").resolve(kit.one)
    assert resolution.manifest.digest.hex == kit.hex
    assert server.paths() == [POST]
    (request,) = server.log
    assert json.loads(request.body) == {"ref": "1.2.3"}
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert request.token is None


def test_a_registry_below_a_path(server, open_at, kit):
    server.routes["/mcp" + kit.resolve] = kit.send(200, kit.answer)
    assert open_at(server.url + "/mcp").resolve(kit.one).registry == server.url + "/mcp"


@pytest.mark.parametrize("body", [PROBLEM, b"<html>no</html>", b""], ids=["json", "html", "empty"])
@pytest.mark.parametrize(
    ("status", "code", "tries"),
    [
        (401, "unauthorized", 1),
        (403, "forbidden", 1),
        (400, "registry-rejected", 1),
        (409, "registry-rejected", 1),
        (410, "registry-rejected", 1),
        (418, "registry-rejected", 1),
        (429, "rate-limited", 4),
        (500, "registry-unavailable", 4),
        (502, "registry-unavailable", 4),
        (503, "registry-unavailable", 4),
        (204, "registry-protocol", 1),
        (206, "registry-protocol", 1),
        (304, "registry-protocol", 1),
    ],
)
def test_statuses(server, open_at, kit, status, code, tries, body):
    without_body = status in {204, 304}
    server.routes[kit.resolve] = kit.send(status, b"" if without_body else body)
    error = refused(open_at(server.url), kit.one, code)
    assert server.paths() == [POST] * tries
    if code != "registry-protocol":
        assert ("a reason" in error.message) == (body is PROBLEM)
        assert error.details["status"] == status
        assert str(kit.one) in error.message


def test_a_404_with_a_json_body_is_final(server, open_at, kit):
    server.routes[kit.resolve] = kit.send(404, PROBLEM)
    assert "a reason" in refused(open_at(server.url), kit.one, "package-not-found").message
    assert server.paths() == [POST]


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_registry_that_speaks_only_get(server, open_at, kit, status):
    server.routes[kit.resolve] = kit.in_turn(kit.send(status, b"what?"), kit.send(200, kit.answer))
    heard = []
    client = open_at(server.url, on_dialect=heard.append)
    client.resolve(kit.one)
    client.resolve(kit.one)
    assert server.paths() == [POST, GET, GET]
    assert heard == ["get"]


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_static_web_server(server, open_at, kit, status):
    server.routes[kit.resolve] = kit.send(status, PROBLEM if status != 404 else b"")
    server.routes[kit.static] = kit.send(200, kit.answer)
    heard = []
    client = open_at(server.url, on_dialect=heard.append)
    client.resolve(kit.one)
    client.resolve(kit.one)
    assert server.paths() == [POST, GET, STATIC, STATIC]
    assert heard == ["static"]


@pytest.mark.parametrize("colon", [False, True])
def test_a_static_web_server_over_a_folder_with_or_without_colons(server, open_at, kit, colon):
    """Not all servers say 404 to a colon: it is asked for last."""
    paths = ["/packages/acme/one/sha-abcdef0.json", "/packages/acme/one/sha:abcdef0.json"]
    server.routes[paths[colon]] = kit.send(200, kit.answer)
    open_at(server.url, dialect="static").resolve(parse_reference("acme/one@sha:abcdef0"))
    assert server.paths() == [f"GET {path}" for path in paths[: colon + 1]]


def test_a_plus_in_a_version_stays_one(server, open_at, kit):
    reference = parse_reference("acme/one@1.0.0+build.1")
    server.routes["/packages/acme/one/1.0.0%2Bbuild.1.json"] = kit.send(200, kit.answer)
    open_at(server.url).resolve(reference)
    assert server.log[1].path.endswith("?ref=1.0.0%2Bbuild.1")


@pytest.mark.parametrize("dialect", ["get", "static", "post", "gopher", ""])
def test_a_remembered_dialect_is_tried_first_and_forgotten_when_it_is_wrong(server, open_at, kit, dialect):
    def only_post(handler):
        kit.send(200 if handler.command == "POST" else 405, kit.answer)(handler)

    server.routes[kit.resolve] = only_post
    heard = []
    open_at(server.url, dialect=dialect, on_dialect=heard.append).resolve(kit.one)
    first = {"get": [GET], "static": [STATIC]}.get(dialect, [])
    assert server.paths() == [*first, POST]
    assert heard == ([] if dialect == "post" else ["post"])


def test_a_package_no_dialect_knows(server, open_at, kit):
    refused(open_at(server.url), kit.one, "package-not-found")
    assert server.paths() == [POST, GET, STATIC]


@pytest.mark.parametrize("status", [404, 500, 401])
def test_an_errors_endless_body_does_not_hide_its_status(server, open_at, kit, status):
    server.routes[kit.resolve] = kit.endless(status)
    code = {404: "package-not-found", 500: "registry-unavailable", 401: "unauthorized"}[status]
    refused(open_at(server.url), kit.one, code)


def test_a_broken_error_body_does_not_hide_its_status(server, open_at, kit):
    server.routes[kit.resolve] = kit.send(403, b"no", {"Content-Length": "100", "Connection": "close"})
    refused(open_at(server.url), kit.one, "forbidden")


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[" * 100_000, b"\xff\xfe", b"{}"], ids=["empty", "html", "deep", "bytes", "{}"]
)
def test_garbage(server, open_at, kit, body):
    server.routes[kit.resolve] = kit.send(200, body)
    refused(open_at(server.url), kit.one, "registry-protocol")
    assert server.paths() == [POST]


def test_an_endless_answer(server, open_at, kit):
    server.routes[kit.resolve] = kit.endless()
    refused(open_at(server.url), kit.one, "registry-protocol")


def test_an_answer_that_trickles_for_ever(server, open_at, kit):
    server.routes[kit.resolve] = kit.endless(piece=b" ", pause=0.02)
    assert "in time" in refused(open_at(server.url, timeout=0.2), kit.one, "registry-unavailable").message


def test_no_answer_at_all(server, open_at, kit):
    server.routes[kit.resolve] = lambda handler: handler.owner.closing.wait(60)
    assert "in time" in refused(open_at(server.url, timeout=0.1), kit.one, "registry-unavailable").message


def test_nobody_listens(open_at, kit, pauses):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = refused(open_at(f"http://127.0.0.1:{port}"), kit.one, "registry-unavailable")
    assert f"127.0.0.1:{port}" in error.message
    assert len(pauses) == 3


def test_a_name_in_another_script(open_at, kit):
    """It is looked up as it is spelt in the URL; httpx would show it in its own script."""
    client = open_at("http://xn--bcher-kva.invalid", insecure=True, connect_timeout=0.5)
    refused(client, kit.one, "registry-unavailable")


@pytest.mark.parametrize("host", ["http://a..b", "http://" + "a" * 70 + ".example"])
def test_a_name_no_resolver_takes(open_at, kit, host):
    refused(open_at(host, insecure=True), kit.one, "registry-protocol")


def test_one_bad_answer_is_no_failure(server, open_at, kit):
    server.routes[kit.resolve] = kit.in_turn(
        kit.send(503), lambda handler: handler.reset(), kit.send(429), kit.send(200, kit.answer)
    )
    open_at(server.url).resolve(kit.one)
    assert server.paths() == [POST] * 4


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(server, open_at, kit, pauses, status):
    server.routes[kit.resolve] = kit.in_turn(
        kit.send(status, b"", {"Retry-After": "7"}),
        kit.send(status, b"", {"Retry-After": "0"}),
        kit.send(200, kit.answer),
    )
    open_at(server.url).resolve(kit.one)
    assert pauses[0] == 7
    assert 0 <= pauses[1] <= 1


def test_nobody_waits_for_hours(server, open_at, kit, pauses):
    server.routes[kit.resolve] = kit.send(429, b"", {"Retry-After": "86400"})
    error = refused(open_at(server.url), kit.one, "rate-limited")
    assert "86400 seconds" in error.hint
    assert pauses == []
    assert server.paths() == [POST]


def test_terminal_escapes_in_a_refusal(server, open_at, kit):
    words = "\x1b]0;owned\x07\x1b[2J\r\nmcp: all is well\u202e" + "x" * 5000
    server.routes[kit.resolve] = kit.send(403, {"error": "x", "message": words})
    assert len(refused(open_at(server.url), kit.one, "forbidden").message) < 600


@pytest.mark.parametrize(
    "raw",
    [
        b"\x1b[31mnot http\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000 + b"\r\n\r\n",
    ],
    ids=["no-http", "negative-length", "bad-chunk", "huge-header"],
)
def test_what_is_no_http(server, open_at, kit, raw):
    def route(handler):
        handler.wfile.write(raw)
        handler.close_connection = True

    server.routes[kit.resolve] = route
    refused(open_at(server.url), kit.one, "registry-unavailable")


def test_the_token_goes_to_the_registry_and_into_no_message(server, open_at, kit):
    def echo(handler):
        sent = handler.headers["Authorization"]
        kit.send(401, {"error": sent, "message": f"what is {sent}?"})(handler)

    server.routes[kit.resolve] = echo
    error = refused(open_at(server.url, token="sesame"), kit.one, "unauthorized")
    assert server.log[0].token == "Bearer sesame"
    assert "sesame" not in error.message + error.hint + str(error.details)
    assert "what is Bearer ***?" in error.message


@pytest.mark.parametrize("token", ["sesa\nme", "sesame\x00", "sesame ", "sesam\u00e9"])
def test_a_token_that_cannot_be_sent_is_not_shown_either(open_at, token):
    with pytest.raises(MCPError) as caught:
        open_at("http://127.0.0.1:9", token=token)
    assert caught.value.code == "config-invalid"
    assert "sesam" not in caught.value.message + caught.value.hint


def test_cookies_are_not_kept(server, open_at, kit):
    server.routes[kit.resolve] = kit.send(200, kit.answer, {"Set-Cookie": "id=1; Path=/"})
    client = open_at(server.url)
    client.resolve(kit.one)
    client.resolve(kit.one)
    assert all("cookie" not in request.headers for request in server.log)


def test_a_closed_client_holds_no_socket_and_can_be_used_again(server, open_at, kit):
    ended = queue.SimpleQueue()

    def route(handler):
        kit.send(200, kit.answer)(handler)
        handler.wfile.flush()
        # The next byte, or the end of the connection.
        handler.connection.settimeout(20)
        ended.put(handler.connection.recv(1))
        handler.close_connection = True

    server.routes[kit.resolve] = route
    client = open_at(server.url)
    for _ in range(2):
        client.resolve(kit.one)
        client.close()
        assert ended.get(timeout=60) == b""
    client.close()
