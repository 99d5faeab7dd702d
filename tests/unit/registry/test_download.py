"""Fetching artifacts over HTTP: what breaks, resumes, lies or never ends."""

import gzip
import zlib
from concurrent.futures import ThreadPoolExecutor

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


TAG, OTHER_TAG = '"one"', '"another"'


def in_parts(data, cut, tags, *, obeys=True, modified=None):
    """A route that breaks off once at ``cut``, with one of ``tags`` for each answer."""
    left = list(tags)

    def route(handler):
        tag = left.pop(0)
        asked, condition = handler.headers.get("Range"), handler.headers.get("If-Range")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if obeys and condition not in {None, tag, modified}:
            start = 0
        headers = {"Content-Length": str(len(data) - start)}
        headers |= {"ETag": tag} if tag else {}
        headers |= {"Last-Modified": modified} if modified else {}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        handler.begin(206 if start else 200, headers)
        end = cut if len(handler.owner.log) == 1 else len(data)
        handler.wfile.write(data[start:end])
        handler.close_connection = True

    return route


def conditions(server):
    return [request.headers.get("if-range") for request in server.log]


@pytest.mark.parametrize(
    ("tag", "modified", "condition"),
    [
        (TAG, None, TAG),
        (TAG, "Thu, 01 Jan 1970 00:00:00 GMT", TAG),
        (None, "Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ('W/"weak"', None, None),
        ('W/"weak"', "Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ('"unfinished', None, None),
        (None, "Thu, 01 Jan 2099 00:00:00 GMT", None),
        (None, "yesterday", None),
        (None, None, None),
    ],
)
def test_only_the_rest_of_the_same_file_is_asked_for(server, open_at, kit, tag, modified, condition):
    server.routes["/artifact"] = in_parts(DATA, 4000, [tag, tag], modified=modified)
    assert fetched(open_at(server.url), kit.descriptor(DATA)) == DATA
    assert ranges(server) == [None, "bytes=4000-"]
    assert conditions(server) == [None, condition]


@pytest.mark.parametrize("obeys", [True, False])
def test_a_file_that_changed_is_not_glued_together(server, open_at, kit, obeys):
    server.routes["/artifact"] = in_parts(DATA, 4000, [TAG, OTHER_TAG], obeys=obeys)
    error = refused(open_at(server.url), kit.descriptor(DATA), "download-truncated")
    assert "changed" in error.message
    assert len(server.log) == 2


def test_another_length_is_another_file(server, open_at, kit):
    server.routes["/artifact"] = kit.in_turn(
        in_parts(DATA, 4000, [None, None]), kit.send(200, DATA + b"x", {"Connection": "close"})
    )
    assert "changed" in refused(open_at(server.url), kit.descriptor(DATA), "download-truncated").message


def test_a_mirrors_tag_is_its_own(server, new_server, open_at, kit):
    mirrors = [new_server(), new_server()]
    for mirror, tag in zip(mirrors, (TAG, OTHER_TAG), strict=True):
        mirror.routes["/file"] = in_parts(DATA, 4000, [tag, tag], obeys=False)
    mirrors[1].log.append(None)
    server.routes["/artifact"] = kit.in_turn(*(kit.redirect(f"{mirror.url}/file") for mirror in mirrors))
    assert fetched(open_at(server.url), kit.descriptor(DATA)) == DATA


SIZES = (0, 1, 65_536, 262_143, 262_144, 400_000, 3_000_000)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("piece", [1, 70_000])
def test_large_bodies_are_whole_however_they_arrive(server, open_at, kit, size, piece):
    data = bytes(range(251)) * (size // 251 + 1)
    data = data[:size]

    def route(handler):
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode()
        first = (head + data)[: len(head) + piece]
        handler.wfile.write(first)
        handler.wfile.write((head + data)[len(first) :])

    server.routes["/artifact"] = route
    client = open_at(server.url)
    for _ in range(2):
        assert fetched(client, kit.descriptor(data), limit=size + 1) == data


def test_a_large_body_that_ends_early_is_resumed(server, open_at, kit):
    data = bytes(range(256)) * 8000
    server.routes["/artifact"] = broken(data, 900_000)
    assert fetched(open_at(server.url), kit.descriptor(data), limit=len(data)) == data
    assert ranges(server) == [None, "bytes=900000-", "bytes=1800000-"]


def compressing(data, encoding="gzip", *, cut=None, length=True, name=None):
    body = data if name else gzip.compress(data) if encoding == "gzip" else zlib.compress(data)

    def route(handler):
        headers = {"Content-Encoding": name or encoding, "Connection": "close"}
        handler.begin(200, {**headers, "Content-Length": str(len(body))} if length else headers)
        handler.wfile.write(body if cut is None or len(handler.owner.log) > 1 else body[:cut])
        handler.close_connection = True

    return route


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("size", [None, len(DATA)])
@pytest.mark.parametrize("length", [True, False])
def test_a_server_that_compresses_unasked(server, open_at, kit, encoding, size, length):
    server.routes["/artifact"] = compressing(DATA, encoding, length=length)
    assert fetched(open_at(server.url), kit.descriptor(DATA, size=size)) == DATA
    assert server.log[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("url", "size"), [("/artifact", len(DATA)), ("/artifact.tar.gz", None), ("/a.tgz", None)]
)
def test_a_stored_file_that_is_called_compressed(server, open_at, kit, url, size):
    """Apache's ``AddEncoding x-gzip .gz .tgz``: the bytes are those of the file."""
    server.routes[url] = compressing(DATA, name="x-gzip")
    assert fetched(open_at(server.url), kit.descriptor(DATA, url, size=size)) == DATA


def test_a_compressed_download_begins_anew_when_it_breaks(server, open_at, kit):
    server.routes["/artifact"] = compressing(DATA, cut=70, length=False)
    assert fetched(open_at(server.url), kit.descriptor(DATA)) == DATA
    assert ranges(server) == [None, None]


@pytest.mark.parametrize("name", ["br", "zstd", "gzip, gzip", "\x1b[2J", "gzip"])
def test_encodings_that_are_not_read(server, open_at, kit, name):
    server.routes["/artifact"] = compressing(DATA, name=name)
    refused(open_at(server.url), kit.descriptor(DATA), "registry-protocol")


def test_a_bomb_is_bounded(server, open_at, kit):
    server.routes["/artifact"] = compressing(bytes(50_000_000))
    refused(open_at(server.url), kit.descriptor(DATA), "download-too-large")


def drip(handler):
    handler.begin(200, {"Content-Length": "100000"})
    while not handler.owner.closing.wait(0.01):
        handler.wfile.write(b"x" * 100)


def slow_header(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not handler.owner.closing.wait(0.01):
        handler.wfile.write(b"X: y\r\n")


def interim(handler):
    while not handler.owner.closing.is_set():
        handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" * 100)


def slow_chunk(handler):
    handler.begin(200, {"Transfer-Encoding": "chunked"})
    handler.wfile.write(b"5;")
    while not handler.owner.closing.wait(0.01):
        handler.wfile.write(b"x")


@pytest.mark.parametrize("route", [slow_header, interim, drip, slow_chunk])
def test_what_is_always_in_time_is_so_once_only(server, open_at, kit, route):
    """Each read gives a few bytes, so no single one is ever too late."""
    server.routes["/artifact"] = server.routes[kit.resolve] = route
    client = open_at(server.url, timeout=0.2, connect_timeout=0.2, download_timeout=0.5)
    error = refused(client, kit.descriptor(DATA), "registry-unavailable")
    assert "0.5 s" in error.message
    with pytest.raises(MCPError) as caught:
        client.resolve(kit.one)
    assert caught.value.code == "registry-unavailable"


def test_a_pause_that_is_asked_for_counts(server, open_at, kit, pauses):
    server.routes["/artifact"] = kit.send(503, b"", {"Retry-After": "20"})
    refused(open_at(server.url, download_timeout=10.0), kit.descriptor(DATA), "registry-unavailable")
    assert pauses == []
    assert len(server.log) == 1


def test_many_threads_share_a_client(server, open_at, kit):
    files = {f"/artifact-{number}": bytes([number]) * 500_000 for number in range(16)}
    for path, data in files.items():
        server.routes[path] = kit.in_turn(broken(data, 200_000), broken(data, len(data)))
    client = open_at(server.url)
    with ThreadPoolExecutor(len(files)) as pool:
        fetches = {
            path: pool.submit(fetched, client, kit.descriptor(data, path)) for path, data in files.items()
        }
    assert {path: fetch.result() for path, fetch in fetches.items()} == files


@pytest.mark.parametrize("route", [slow_header, interim])
def test_a_header_has_its_own_time(server, open_at, kit, route):
    """It is given up long before the whole download would be: there are further tries."""
    server.routes["/artifact"] = route
    client = open_at(server.url, timeout=0.1, connect_timeout=0.1, download_timeout=600.0)
    refused(client, kit.descriptor(DATA), "registry-unavailable")
    assert len(server.log) == 4


def test_headers_are_bounded(server, open_at, kit):
    def storm(handler):
        handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" * 40_000)
        kit.send(200, DATA)(handler)

    server.routes["/artifact"] = storm
    assert "header" in refused(open_at(server.url), kit.descriptor(DATA), "registry-unavailable").message


def test_what_expands_comes_in_pieces(server, open_at, kit):
    data = bytes(50_000_000)
    server.routes["/artifact"] = compressing(data)
    pieces = [len(chunk) for chunk in open_at(server.url).fetch(kit.descriptor(data), len(data))]
    assert sum(pieces) == len(data)
    assert max(pieces) <= 1 << 20


@pytest.mark.parametrize(
    "length",
    ["9" * 5000, "99999999999999999999", "-1", "1e3", "\u0663", "1, 2", "0x10", "", " ", "+5", "1_0"],
)
@pytest.mark.parametrize("framing", ["Content-Length", "Content-Range", "Retry-After", "Transfer-Encoding"])
def test_numbers_that_are_none(server, open_at, kit, length, framing):
    def route(handler):
        status = b"503 Later" if framing == "Retry-After" else b"206 Part"
        header = f"{framing}: {length}".encode()
        handler.wfile.write(b"HTTP/1.1 %b\r\n%b\r\nConnection: close\r\n\r\n%b" % (status, header, DATA))
        handler.close_connection = True

    server.routes["/artifact"] = route
    with pytest.raises(MCPError) as caught:
        fetched(open_at(server.url), kit.descriptor(DATA, size=len(DATA)))
    assert caught.value.code in {"registry-unavailable", "registry-protocol"}
