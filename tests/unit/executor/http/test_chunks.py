"""What is cut out of a body in chunks is what h11 reads from it, however it arrives."""

import random

import h11
import pytest

from mcp_client.executor.http.chunks import Chunks, body_of_answer, body_of_request

ANSWER = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
REQUEST = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
BODIES = pytest.mark.parametrize("begin", [body_of_answer, body_of_request])


def by_h11(pieces, begin):
    """(body, trailers, what came behind it), or None when it is no such body."""
    if begin is body_of_answer:
        head, connection = ANSWER, h11.Connection(h11.CLIENT)
        connection.send(h11.Request(method="GET", target="/", headers=[("Host", "localhost")]))
        connection.send(h11.EndOfMessage())
    else:
        head, connection = REQUEST, h11.Connection(h11.SERVER)
    body, behind = b"", b""
    try:
        for index, piece in enumerate((head, *pieces)):
            if connection.their_state is h11.DONE:
                behind += piece
                continue
            connection.receive_data(piece)
            while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
                if isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    behind = connection.trailing_data[0]
                    trailers = list(event.headers)
                    break
                else:
                    assert index == 0, event
    except h11.RemoteProtocolError:
        return None
    return (body, trailers, behind) if connection.their_state is h11.DONE else None


def by_chunks(pieces, begin):
    chunks = Chunks(begin)
    body = b""
    for index, piece in enumerate(pieces):
        parts = []
        try:
            end = chunks.read(memoryview(piece), parts)
        except h11.RemoteProtocolError:
            return None
        body += b"".join(parts)
        if end is not None:
            return body, list(end.headers), chunks.behind + b"".join(pieces[index + 1 :])
    return None


def in_pieces(random_, data):
    pieces = []
    while data:
        size = random_.choice([1, 1, 2, 3, 5, 17, 64, 1000, len(data)])
        pieces.append(data[:size])
        data = data[size:]
    return pieces


def a_body(random_):
    body = b""
    for _ in range(random_.randrange(6)):
        data = random_.randbytes(random_.choice([1, 2, 15, 16, 100, 3000]))
        size = random_.choice([b"%x", b"%X", b"000%x", b"%x;name=value"]) % len(data)
        body += size + b"\r\n" + data + b"\r\n"
    return body + random_.choice([b"0\r\n\r\n", b"0\r\nA: b\r\n\r\n", b"00;x\r\n\r\n"])


@BODIES
@pytest.mark.parametrize("seed", range(40))
def test_it_agrees_with_h11(seed, begin):
    random_ = random.Random(seed)
    for _ in range(25):
        data = a_body(random_)
        behind = random_.choice([b"", b"", b"HTTP/1.1 200 OK\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
        pieces = in_pieces(random_, data + behind)

        body, trailers, _ = by_h11([data], begin)
        assert by_h11(pieces, begin) == by_chunks(pieces, begin) == (body, trailers, behind)


@BODIES
@pytest.mark.parametrize("seed", range(40))
def test_it_takes_nothing_that_h11_refuses(seed, begin):
    random_ = random.Random(seed)
    refused = 0
    for _ in range(50):
        data = bytearray(a_body(random_))
        for _ in range(random_.randrange(1, 3)):
            at = random_.randrange(len(data))
            data[at : at + random_.randrange(2)] = random_.choice([b"", b"\r", b"\n", b"0", b"g", b" ", b";"])
        pieces = in_pieces(random_, bytes(data))

        expected, found = by_h11(pieces, begin), by_chunks(pieces, begin)
        assert (found is None) == (expected is None), pieces
        if expected is None:
            refused += 1
        else:
            assert found == expected
    assert refused > 5


@BODIES
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"5\r\nhel",
        b"5\r\nhello",
        b"5\r\nhello\r",
        b"5\r\nhello\r\n",
        b"5\r\nhello\r\n0\r\n",
        b"5",
        b"5\r",
    ],
)
def test_an_end_before_the_last_chunk_is_an_error(body, begin):
    chunks = Chunks(begin)
    if body:
        assert chunks.read(memoryview(body), []) is None
    with pytest.raises(h11.RemoteProtocolError):
        chunks.read(memoryview(b""), [])


def test_large_chunks_are_not_copied():
    data = bytearray(b"10000\r\n" + bytes(0x10000) + b"\r\n")
    parts = []

    assert Chunks(body_of_request).read(memoryview(data), parts) is None
    (part,) = parts

    assert isinstance(part, memoryview)
    data[7] = 1
    assert part[0] == 1
