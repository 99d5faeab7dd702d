"""Fetching artifacts over HTTP: what breaks, resumes, lies or never ends."""

import pytest

from mcp_client.errors import MCPError

DATA = bytes(range(256)) * 40
LIMIT = 1 << 20


def fetched(client, descriptor, limit=LIMIT):
    return b"".join(client.fetch(descriptor, limit))


def refused(client, descriptor, code, limit=LIMIT):
    with pytest.raises(MCPError) as caught:
        fetched(client, descriptor, limit)
    assert caught.value.code == code
    assert caught.value.message.isprintable()
    assert caught.value.hint
    return caught.value


def broken(data, piece, *, ranges=True, end="fin", lie=None):
    """A route that sends ``piece`` bytes per connection, all of them when they are the last."""

    def route(handler):
        asked = handler.headers.get("Range") if ranges else None
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        headers = {"Content-Length": str(len(data) - start)}
        if asked:
            headers["Content-Range"] = lie or f"bytes {start}-{len(data) - 1}/{len(data)}"
        handler.begin(206 if asked else 200, headers)
        sent = data[start : start + piece]
        handler.wfile.write(sent)
        if start + len(sent) < len(data):
            handler.close_connection = True
            if end == "rst":
                handler.reset()

    return route


def ranges(server):
    return [request.headers.get("range") for request in server.log]


@pytest.mark.parametrize("size", [None, len(DATA)])
def test_a_download(server, open_at, kit, size):
    server.routes["/artifact"] = kit.send(200, DATA)
    assert fetched(open_at(server.url), kit.descriptor(DATA, size=size)) == DATA
    assert ranges(server) == [None]


@pytest.mark.parametrize(
    ("base", "url", "asked"),
    [
        ("", "artifact", "/artifact"),
        ("/mcp", "artifact", "/mcp/artifact"),
        ("/mcp/", "artifact?a=b", "/mcp/artifact"),
        ("/mcp", "/artifact", "/artifact"),
        ("/mcp", "../artifact", "/artifact"),
    ],
)
def test_urls_are_relative_to_the_registry(server, open_at, kit, base, url, asked):
    server.routes[asked] = kit.send(200, DATA)
    assert fetched(open_at(server.url + base), kit.descriptor(DATA, url)) == DATA


@pytest.mark.parametrize("end", ["fin", "rst"])
def test_a_broken_download_is_resumed(server, open_at, kit, end):
    server.routes["/artifact"] = broken(DATA, 4000, end=end)
    got = fetched(open_at(server.url), kit.descriptor(DATA, size=len(DATA)))
    assert got == DATA
    # A reset may throw away what was sent before it.
    offsets = [int(one.removeprefix("bytes=").removesuffix("-")) for one in ranges(server) if one]
    assert offsets == sorted(offsets)
    if end == "fin":
        assert offsets == [4000, 8000]


@pytest.mark.parametrize("end", ["fin", "rst"])
def test_a_server_without_ranges_begins_anew(server, open_at, kit, end):
    server.routes["/artifact"] = kit.in_turn(
        broken(DATA, 4000, end=end, ranges=False), broken(DATA, 100, ranges=False), kit.send(200, DATA)
    )
    assert fetched(open_at(server.url), kit.descriptor(DATA)) == DATA
    assert len(server.log) == 3


@pytest.mark.parametrize("end", ["fin", "rst"])
@pytest.mark.parametrize("ranged", [True, False])
def test_crumbs(server, open_at, kit, pauses, end, ranged):
    server.routes["/artifact"] = broken(DATA, 10, end=end, ranges=ranged)
    error = refused(open_at(server.url), kit.descriptor(DATA, size=len(DATA)), "download-truncated")
    assert str(len(DATA)) in error.message
    assert len(pauses) == 3


def test_a_large_download_may_break_more_often(server, open_at, kit):
    data = b"x" * (6 << 20)
    server.routes["/artifact"] = broken(data, (1 << 20) + 1)
    assert fetched(open_at(server.url), kit.descriptor(data), limit=len(data)) == data
    assert len(server.log) == 6


def test_a_body_whose_end_only_the_connection_tells(server, open_at, kit):
    def until_closed(handler):
        handler.begin(200, {"Connection": "close"})
        handler.wfile.write(DATA[:5000])

    server.routes["/artifact"] = kit.in_turn(until_closed, broken(DATA, len(DATA)))
    assert fetched(open_at(server.url), kit.descriptor(DATA, size=len(DATA))) == DATA
    assert ranges(server) == [None, "bytes=5000-"]


def test_a_range_shorter_than_asked_for_is_not_the_end(server, open_at, kit):
    def short(handler):
        headers = {"Content-Length": "3000", "Content-Range": f"bytes 4000-6999/{len(DATA)}"}
        handler.begin(206, headers)
        handler.wfile.write(DATA[4000:7000])

    server.routes["/artifact"] = kit.in_turn(broken(DATA, 4000), short, broken(DATA, len(DATA)))
    assert fetched(open_at(server.url), kit.descriptor(DATA)) == DATA
    assert ranges(server) == [None, "bytes=4000-", "bytes=7000-"]


@pytest.mark.parametrize(
    "lie",
    [
        "bytes 0-10239/10240",
        "bytes 40000-99999/100000",
        "bytes 4000-",
        "4000-10239/10240",
        "bytes */10240",
        "bytes 4000-10239/\u0663",
        "bytes 4000-10239/10240, x",
        "\x1b[2J",
    ],
)
def test_another_range_than_asked_for(server, open_at, kit, lie):
    server.routes["/artifact"] = broken(DATA, 4000, lie=lie.encode().decode("latin-1"))
    refused(open_at(server.url), kit.descriptor(DATA), "registry-protocol")
    assert len(server.log) == 2


def test_a_range_nobody_asked_for(server, open_at, kit):
    server.routes["/artifact"] = kit.send(206, DATA[10:], {"Content-Range": "bytes 10-10239/10240"})
    refused(open_at(server.url), kit.descriptor(DATA), "registry-protocol")


def test_a_break_after_the_last_byte(server, open_at, kit):
    def without_last_chunk(handler):
        handler.begin(200, {"Transfer-Encoding": "chunked"})
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(DATA), DATA))
        handler.close_connection = True

    server.routes["/artifact"] = kit.in_turn(without_last_chunk, kit.send(416, b""))
    assert fetched(open_at(server.url), kit.descriptor(DATA)) == DATA


@pytest.mark.parametrize("promised", [len(DATA) - 1, len(DATA) + 1, 0])
def test_a_wrong_size_is_an_error_even_with_the_right_digest(server, open_at, kit, promised):
    server.routes["/artifact"] = kit.send(200, DATA)
    error = refused(open_at(server.url), kit.descriptor(DATA, size=promised), "digest-mismatch")
    assert f"expected {promised} bytes" in error.message
    assert len(server.log) == 1


def test_a_promise_above_the_limit_is_not_even_asked_for(server, open_at, kit):
    refused(open_at(server.url), kit.descriptor(DATA, size=LIMIT + 1), "download-too-large")
    assert server.log == []


@pytest.mark.parametrize(("size", "code"), [(None, "download-too-large"), (1000, "digest-mismatch")])
def test_an_endless_body(server, open_at, kit, size, code):
    server.routes["/artifact"] = kit.endless()
    refused(open_at(server.url), kit.descriptor(DATA, size=size), code)


def test_silence_in_the_middle(server, open_at, kit):
    def silent(handler):
        handler.begin(200, {"Content-Length": str(len(DATA))})
        handler.wfile.write(DATA[:100])
        handler.owner.closing.wait(60)

    server.routes["/artifact"] = silent
    error = refused(open_at(server.url, timeout=0.1), kit.descriptor(DATA), "registry-unavailable")
    assert "in time" in error.message


@pytest.mark.parametrize(
    ("status", "code", "tries"),
    [
        (401, "unauthorized", 1),
        (403, "forbidden", 1),
        (404, "package-not-found", 1),
        (416, "registry-rejected", 1),
        (429, "rate-limited", 4),
        (500, "registry-unavailable", 4),
        (204, "registry-protocol", 1),
    ],
)
def test_statuses(server, open_at, kit, status, code, tries):
    server.routes["/artifact"] = kit.send(status)
    refused(open_at(server.url), kit.descriptor(DATA), code)
    assert len(server.log) == tries


@pytest.mark.parametrize("status", [302, 403, 404, 503, 200])
def test_presigned_queries_are_in_no_message(server, open_at, kit, status):
    server.routes["/artifact"] = kit.send(
        status, b"", {"Location": "http://127.0.0.1:9/other?X-Amz-Signature=sesame&x=\x1b"}
    )
    url = f"{server.url}/artifact?X-Amz-Signature=sesame"
    with pytest.raises(MCPError) as caught:
        fetched(open_at(server.url), kit.descriptor(DATA, url, size=5))
    error = caught.value
    assert "sesame" not in error.message + error.hint + str(error.details)
    assert "127.0.0.1" in error.message
    assert server.log[0].path.endswith("?X-Amz-Signature=sesame")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "http://[",
        "http://user:sesame@127.0.0.1/",
        "http://10.0.0.1/x",
        "//10.0.0.1/x",
        "http://127.0.0.1\\@evil.example/",
        "/a\x00b",
        "/a\x1b[2Jb",
        "/a\r\nX: y",
        "/\u202e",
        "data:,x",
    ],
)
def test_urls_that_must_not_be_asked(server, open_at, kit, url):
    error = refused(open_at(server.url), kit.descriptor(DATA, url), "registry-protocol")
    assert "sesame" not in error.message
    assert server.log == []


def test_a_download_that_is_given_up_closes_its_connection(server, open_at, kit):
    server.routes["/artifact"] = kit.endless()
    chunks = open_at(server.url).fetch(kit.descriptor(DATA), 1 << 30)
    assert next(chunks)
    chunks.close()
    server.routes["/artifact"] = kit.send(200, DATA)
    assert fetched(open_at(server.url), kit.descriptor(DATA)) == DATA
