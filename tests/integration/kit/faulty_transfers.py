"""Answers that are late, cut, endless, framed wrongly or no HTTP at all, whatever they are about."""

import socket
from contextlib import suppress

from kit.exchange import ESCAPES, Answer, Exchange, Fault, sound

_SOON = 0.02


def late(at: Exchange) -> None:
    at.pause(at.random.uniform(0, 0.5))
    sound(at)


def silent(at: Exchange) -> None:
    at.pause(1)
    at.end()


def closed_at_once(at: Exchange) -> None:
    at.end()


def cut(at: Exchange) -> None:
    """At any byte, those of the header included."""
    data = at.sound.encoded()
    at.send(data[: at.random.randrange(len(data))])
    at.end()


def cut_in_the_body(at: Exchange) -> None:
    data = at.sound.encoded()
    at.send(data[: len(data) - at.random.randint(0, len(at.sound.body))])
    at.end()


def wrong_length(at: Exchange) -> None:
    right = len(at.sound.body)
    length = at.random.choice(
        [
            str(right - 1),
            str(right + 1),
            "0",
            "-5",
            "9" * 5000,
            "99999999999999",
            "ten",
            f"{right}, {right + 1}",
        ]
    )
    at.send(at.sound.encoded(content_length=length))
    if at.random.random() < 0.5:
        at.end()


def two_lengths(at: Exchange) -> None:
    extra = f"content-length: {at.random.randrange(1000)}\r\n\r\n".encode()
    at.send(at.sound.encoded().replace(b"\r\n\r\n", b"\r\n" + extra, 1))


def without_length(at: Exchange) -> None:
    """The end of the connection is the end of the body, wherever it comes."""
    data = at.sound.encoded(content_length=None)
    at.send(
        data if at.random.random() < 0.5 else data[: len(data) - at.random.randint(0, len(at.sound.body))]
    )
    at.close()


def left_open(at: Exchange) -> None:
    at.send(at.sound.encoded(content_length=None))
    at.pause(1)
    at.end()


def endless(at: Exchange) -> None:
    at.send(at.sound.encoded(content_length=at.random.choice([None, "99999999999"])))
    while not at.pause(0):
        at.send(b"x" * 65536)


def dripping(at: Exchange) -> None:
    for byte in at.sound.encoded()[: at.random.randrange(4000)]:
        at.send(bytes([byte]))
        if at.pause(_SOON):
            return


def slow_header(at: Exchange) -> None:
    at.send(b"HTTP/1.1 200 OK\r\n")
    for number in range(1000):
        at.send(b"X-%d: y\r\n" % number)
        if at.pause(_SOON):
            return


def huge_header(at: Exchange) -> None:
    with suppress(OSError):
        at.send(
            b"HTTP/1.1 200 OK\r\nX: " + b"y" * at.random.choice([60_000, 200_000, 3_000_000]) + b"\r\n\r\n"
        )
    at.end()


def many_headers(at: Exchange) -> None:
    with suppress(OSError):
        at.send(at.sound.encoded().replace(b"\r\n\r\n", b"\r\n" + b"X: y\r\n" * 30_000 + b"\r\n", 1))


def storm_of_interim_answers(at: Exchange) -> None:
    storm = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 200
    for _ in range(at.random.choice([1, 5, 100_000])):
        at.send(storm)
        if at.pause(0):
            return
    sound(at)


def switching(at: Exchange) -> None:
    at.send(b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nPRI * HTTP/2.0\r\n\r\n")


def no_http(at: Exchange) -> None:
    at.send(
        at.random.choice(
            [
                *(
                    b"SSH-2.0-OpenSSH\r\n",
                    b"\x15\x03\x01\x00\x02\x02\x28",
                    b"HTTP/9.9 200 OK\r\n\r\n",
                    b"\r\n" * 9999,
                ),
                *(b"HTTP/1.1 2 OK\r\n\r\n", b"HTTP/1.1 200\r\nA\r\n\r\n", b"HTTP/1.1 200 OK\r\n: x\r\n\r\n"),
                *(
                    b"HTTP/1.1 200 OK\nX: y\n\nhello",
                    b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n c\r\n\r\n",
                    b"\x00" * 70_000,
                ),
                at.random.randbytes(500),
            ]
        )
    )
    at.end()


def chunked(at: Exchange) -> None:
    """Sound, but in pieces."""
    at.send(at.sound.encoded(content_length=None, transfer_encoding="chunked")[: -len(at.sound.body) or None])
    body = at.sound.body
    while body:
        size = at.random.randint(1, 100_000)
        at.send(b"%x\r\n%b\r\n" % (len(body[:size]), body[:size]))
        body = body[size:]
    at.send(b"0\r\nX-Trailer: y\r\n\r\n")


def bad_chunks(at: Exchange) -> None:
    at.send(at.sound.encoded(content_length=None, transfer_encoding="chunked")[: -len(at.sound.body) or None])
    piece = at.sound.body[:1000]
    at.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    at.send(
        at.random.choice(
            [
                *(
                    b"zz\r\n",
                    b"-1\r\n",
                    b"f" * 30 + b"\r\n",
                    b"ffffffff\r\nxx",
                    b"5\r\nabcdeXX",
                    b"\r\n\r\n",
                    b"0\r\n",
                ),
                *(b"0x5\r\nabcde\r\n", b"5;" + b"e" * 200_000 + b"\r\n", b"0\r\n" + b"T: y\r\n" * 30_000),
            ]
        )
    )
    at.end()


def two_framings(at: Exchange) -> None:
    at.send(
        at.sound.encoded(transfer_encoding=at.random.choice(["chunked", "gzip, chunked", "x", "identity"]))
    )


def forged_second_answer(at: Exchange) -> None:
    """Whoever reads on takes the rest for the answer to the next request."""
    at.send(at.sound.encoded() + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nowned")


def another_range(at: Exchange) -> None:
    size = len(at.sound.body) + at.range
    told = at.random.choice(
        [
            *(
                f"bytes 0-{size - 1}/{size}",
                f"bytes {at.range + 1}-{size - 1}/{size}",
                "bytes */5",
                "x",
                ESCAPES[:4],
            ),
            *(
                f"bytes {at.range}-{size - 1}/{size + 7}",
                f"bytes {at.range}-1/2",
                "bytes 5-" + "9" * 5000 + "/*",
            ),
        ]
    )
    answer = at.sound._replace(status=206, headers={**at.sound.headers, "Content-Range": told})
    at.send(answer.encoded())


def no_range(at: Exchange) -> None:
    at.send(Answer(416, {"Content-Range": "bytes */1"}, b"").encoded())


def ranges_ignored(at: Exchange) -> None:
    whole = at.registry.sound_answer("GET", at.place, 0)
    at.send(whole.encoded(etag=at.random.choice([None, '"another"'])))


def half_closed(at: Exchange) -> None:
    data = at.sound.encoded()
    at.send(data[: at.random.randrange(len(data))])
    at.socket.shutdown(socket.SHUT_WR)
    at.pause(0.5)
    at.close()


OF_TRANSFERS: list[Fault] = [
    *(late, late, silent, closed_at_once, closed_at_once, cut, cut, cut, wrong_length, two_lengths),
    *(without_length, without_length, left_open, endless, dripping, slow_header, huge_header, many_headers),
    *(storm_of_interim_answers, switching, no_http, chunked, chunked, bad_chunks, two_framings),
    *(forged_second_answer, half_closed),
]
OF_RANGES: list[Fault] = [
    *(
        cut_in_the_body,
        cut_in_the_body,
        cut_in_the_body,
        cut_in_the_body,
        another_range,
        no_range,
        ranges_ignored,
    ),
]
