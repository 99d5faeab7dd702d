"""Answers in good HTTP whose status, headers or body are wrong, or made to do harm."""

import gzip
import json
from typing import Any

from kit.exchange import ESCAPES, Answer, Exchange, Fault


def server_error(at: Exchange) -> None:
    body = json.dumps({"error": "boom", "message": f"boom{ESCAPES}{at.registry.token}"}).encode()
    at.send(at.sound._replace(status=at.random.choice([500, 502, 503, 504, 599]), body=body).encoded())


def too_many(at: Exchange) -> None:
    wait = at.random.choice(
        [
            "0",
            "0",
            "-1",
            "0.5",
            "99999999999",
            "soon",
            ESCAPES[:4],
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "9" * 5000,
        ]
    )
    at.send(at.sound._replace(status=429, headers={"Retry-After": wait}, body=b"").encoded())


def any_status(at: Exchange) -> None:
    number = at.random.choice([*range(200, 600, 7), 0, 99, 101, 199, 204, 304, 300, 401, 403, 404, 416, 999])
    text = f"no {ESCAPES} {at.registry.token} \x1b[31m"
    body = json.dumps({"error": text, "message": text, "details": {"token": at.registry.token}}).encode()
    at.send(at.sound._replace(status=number, body=body).encoded())


def hostile_status_line(at: Exchange) -> None:
    reason = f"{ESCAPES}{at.registry.token}".encode("latin-1", "replace").replace(b"\r", b"")
    at.send(b"HTTP/1.1 403 " + reason + b"\r\nContent-Length: 0\r\n\r\n")


def another_body(at: Exchange) -> None:
    body = bytearray(at.sound.body or b"?")
    for _ in range(at.random.choice([1, 1, 50])):
        body[at.random.randrange(len(body))] ^= 1 << at.random.randrange(8)
    at.send(at.sound._replace(body=bytes(body)).encoded())


def random_body(at: Exchange) -> None:
    at.send(at.sound._replace(body=at.random.randbytes(at.random.randrange(20_000))).encoded())


def loop(at: Exchange) -> None:
    at.send(_redirect(at, at.path).encoded())


def led_elsewhere(at: Exchange) -> None:
    other = at.registry.url(at.random.choice(["elsewhere", "home"]))
    at.send(_redirect(at, f"{other}{at.path}").encoded())


def token_in_a_location(at: Exchange) -> None:
    token = at.registry.token
    spelled = at.random.choice([token, "".join(f"%{ord(letter):02x}" for letter in token)])
    where = at.random.choice(
        [f"{at.registry.url('elsewhere')}/{spelled}", f"/{spelled}", f"http://x/{spelled}"]
    )
    at.send(_redirect(at, where).encoded())


def led_astray(at: Exchange) -> None:
    host = at.registry.url("elsewhere").removeprefix("http://")
    target = at.random.choice(
        [
            *("", "//", "///", "http:", "http://", "http:///x", "\\\\evil\\x", f"//{host}/x", "/\\evil", "?"),
            *("file:///etc/passwd", "data:,x", "ftp://127.0.0.1/", "javascript:alert(1)", "gopher://x/"),
            *(
                f"http://user:{at.registry.token}@{host}/",
                f"http://{host}@10.0.0.1/",
                "http://[::1",
                "http://[",
            ),
            *(
                "http://127.0.0.1:0/",
                "http://127.0.0.1:99999/",
                "http://127.0.0.1:-1/",
                "http://127.0.0.1:x/",
            ),
            *(
                "http://169.254.169.254/latest/meta-data/",
                "https://169.254.169.254/",
                "http://[fd00:ec2::254]/",
            ),
            *("http://0.0.0.0/", "https://[::]/", "http://127.1/", "http://2130706433/", "http://0x7f.1/"),
            *(
                "http://10.0.0.1/",
                "https://[fe80::1%25lo]/",
                "http://[::ffff:127.0.0.1]:1/",
                "http://\u0661/",
            ),
            *(
                f"http://ex%61mple/{ESCAPES}",
                ESCAPES,
                "/x\x00y",
                "http://xn--/",
                "http://a..b/",
                "h" * 70_000,
            ),
            *("http://127.0.0.1:1/", "https://127.0.0.1:1/", "http://localhost:1/"),
        ]
    )
    at.send(_redirect(at, target).encoded())


def hostile_headers(at: Exchange) -> None:
    token = at.registry.token
    hostile = {
        "Set-Cookie": f"session={token}; Domain=127.0.0.1; Path=/",
        "WWW-Authenticate": f'Basic realm="{token}"',
        "X-Escapes": ESCAPES.replace("\r", "").replace("\x00", ""),
        "ETag": at.random.choice([f'"{token}"', 'W/"x"', '"\x1b[2J"', "x" * 5000, '"']),
        "Last-Modified": at.random.choice([ESCAPES[:4], "Thu, 99 Jan 99999 99:99:99 +99999", "now"]),
        "Date": "Thu, 01 Jan 1970 00:00:00 GMT",
        "Alt-Svc": 'h2="evil:443"',
        "Refresh": "0; url=http://evil/",
        "Link": "<http://evil/>; rel=preload",
    }
    at.send(at.sound._replace(headers={**at.sound.headers, **hostile}).encoded())


def compressed(at: Exchange) -> None:
    body = gzip.compress(at.sound.body, 1)
    cut_at = at.random.choice([len(body), len(body), len(body) // 2])
    answer = at.sound._replace(headers={**at.sound.headers, "Content-Encoding": "gzip"}, body=body[:cut_at])
    answer.headers.pop("ETag", None)
    at.send(answer.encoded())


def falsely_compressed(at: Exchange) -> None:
    name = at.random.choice(
        ["gzip", "deflate", "br", "zstd", "gzip, gzip", ESCAPES[:4], "x-gzip", "identity"]
    )
    at.send(at.sound._replace(headers={**at.sound.headers, "Content-Encoding": name}).encoded())


def bomb(at: Exchange) -> None:
    answer = at.sound._replace(headers={"Content-Encoding": "gzip"}, body=_bomb())
    at.send(answer.encoded())


def no_json(at: Exchange) -> None:
    text = json.dumps(at.registry.answer())
    body = at.random.choice(
        [
            *(
                b"",
                b"null",
                b"[]",
                b"{}",
                b"\xff\xfe",
                b"[" * 100_000,
                b'{"a":' * 50_000,
                b'"' + b"x" * 900_000 + b'"',
            ),
            *(
                b"<html>" + ESCAPES.encode() + b"</html>",
                b"9" * 500_000,
                text[:-5].encode(),
                text.encode("utf-16"),
            ),
            *(
                b" " * 2_000_000,
                ("{" + f'"{ESCAPES!a}": 1, ' * 1000 + text[1:]).encode(),
                b"NaN",
                b"1e999999",
            ),
            *((text[:-1] + ', "manifest": 1}').encode(), ('{"bundle": {}, ' + text[1:]).encode()),
        ]
    )
    at.send(at.sound._replace(body=body).encoded())


def hostile_answer(at: Exchange) -> None:
    form, token = at.registry.answer(), at.registry.token
    kind = at.random.choice(["manifest", "bundle"])
    change: dict[str, Any] = at.random.choice(
        [
            {"digest": f"sha256:{'0' * 64}"},
            {"digest": f"sha256:{'0' * 63}{ESCAPES}"},
            {"digest": "sha256:../../../../etc/passwd"},
            {"digest": token},
            {"url": f"http://{token}@127.0.0.1/"},
            {"url": f"/{token}"},
            {"url": f"{at.registry.url('elsewhere')}/?t={token}"},
            {"url": f"{at.registry.url('elsewhere')}/%{ord(token[0]):02x}{token[1:]}"},
            {"url": ESCAPES},
            {"url": "file:///etc/passwd"},
            {"url": "http://169.254.169.254/latest"},
            {"url": "x" * 9000},
            {"url": "\ud800"},
            {"size_bytes": -1},
            {"size_bytes": 10**30},
            {"size_bytes": 7},
            {"size_bytes": 1e3},
            {"size_bytes": "7"},
        ]
    )
    form[kind] = {**form[kind], **change}
    if at.random.random() < 0.3:
        form["version"] = at.random.choice([token, ESCAPES, "2.0.0", 7, None, "x" * 300])
    if at.random.random() < 0.3:
        form["status"] = at.random.choice(["revoked", "quarantined", "deprecated", ESCAPES, token, 7])
    at.send(at.sound._replace(body=json.dumps(form).encode()).encoded())


def _redirect(at: Exchange, target: str) -> Answer:
    return Answer(at.random.choice([301, 302, 303, 307, 308]), {"Location": target}, b"elsewhere")


_BOMB: list[bytes] = []


def _bomb() -> bytes:
    if not _BOMB:
        _BOMB.append(gzip.compress(bytes(50_000_000), 9))
    return _BOMB[0]


OF_CONTENTS: list[Fault] = [
    *(server_error, server_error, too_many, any_status, hostile_status_line, another_body, random_body, loop),
    *(led_elsewhere, led_elsewhere, led_elsewhere, token_in_a_location, led_astray, led_astray, led_astray),
    *(hostile_headers, hostile_headers, compressed, compressed, falsely_compressed, bomb),
]
OF_ANSWERS: list[Fault] = [no_json, no_json, hostile_answer, hostile_answer, hostile_answer]
