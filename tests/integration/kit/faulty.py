"""A registry that breaks the contract in every way we know of, by a seed: the same seed, the same faults.

Two origins, since half of the faults are about where requests go: ``home`` is the registry, ``elsewhere``
another server that it leads to. Both write to sockets by hand; no HTTP library would send what this sends.
"""

import json
import random
import socket
import threading
from contextlib import suppress
from typing import Any, Self

from kit.bundle import Package, digest_of
from kit.exchange import Answer, Exchange, sound
from kit.faulty_contents import OF_ANSWERS, OF_CONTENTS
from kit.faulty_transfers import OF_RANGES, OF_TRANSFERS

FAULTS = {
    "resolve": [*OF_TRANSFERS, *OF_CONTENTS, *OF_ANSWERS],
    "manifest": [*OF_TRANSFERS, *OF_CONTENTS, *OF_RANGES],
    "bundle": [*OF_TRANSFERS, *OF_CONTENTS, *OF_RANGES],
}
PLACES = ("resolve", "manifest", "bundle")
_LONGEST_REQUEST = 1 << 20


class FaultyRegistry:
    """Serves one package whose artifacts are at either origin; ``sound`` switches the faults off.

    ``requests`` holds what each origin was sent, as it came.
    """

    def __init__(self, seed: int, package: Package, token: str) -> None:
        self.seed, self.package, self.token = seed, package, token
        self.sound = False
        self.closing = threading.Event()
        self.requests: dict[str, list[bytes]] = {"home": [], "elsewhere": []}
        self.faults: list[str] = []
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._listeners = {name: socket.create_server(("127.0.0.1", 0)) for name in self.requests}
        draw = random.Random(f"{seed} plan")
        # How many answers in a row are faulty before the first sound one, most often at one place only.
        focus = draw.choice(PLACES)
        self._faulty = {
            place: draw.choice([1, 1, 1, 2, 3, 99] if place == focus else [0, 0, 0, 0, 1]) for place in PLACES
        }
        self._absolute = {place: draw.random() < 0.5 for place in ("manifest", "bundle")}
        self._sized = draw.random() < 0.7
        for name, listener in self._listeners.items():
            threading.Thread(target=self._accept, args=(name, listener), daemon=True).start()

    def url(self, origin: str) -> str:
        return f"http://127.0.0.1:{self._listeners[origin].getsockname()[1]}"

    def close(self) -> None:
        self.closing.set()
        for listener in self._listeners.values():
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def answer(self) -> dict[str, Any]:
        """The sound resolve answer."""
        form: dict[str, Any] = {"version": self.package.version, "status": "published"}
        for kind, data in (("manifest", self.package.manifest), ("bundle", self.package.bundle)):
            base = self.url("elsewhere") if self._absolute[kind] else ""
            form[kind] = {"digest": digest_of(data), "url": f"{base}/{kind}?X-Amz-Signature=presigned"}
            if self._sized:
                form[kind]["size_bytes"] = len(data)
        return form

    def _accept(self, origin: str, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(origin, connection), daemon=True).start()

    def _serve(self, origin: str, connection: socket.socket) -> None:
        connection.settimeout(20)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A client that hangs up, or one that is confused about what it was sent, is what this is for.
        with suppress(OSError, ValueError):
            rest = b""
            while not self.closing.is_set():
                request, rest = _read_request(connection, rest)
                if not request:
                    break
                self._answer(origin, connection, request)
        with suppress(OSError):
            connection.close()

    def _answer(self, origin: str, connection: socket.socket, request: bytes) -> None:
        method, path, _ = request.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        name = path.partition("?")[0].strip("/").rpartition("/")[2]
        place = "resolve" if name in {"resolve", "1.0.0.json"} else name
        offset = _offset(request)
        with self._lock:
            self.requests[origin].append(request)
            count = self._counts.get(place, 0)
            self._counts[place] = count + 1
            draw = random.Random(f"{self.seed} {place} {count}")
            faulty = not self.sound and count < self._faulty.get(place, 0)
            fault = draw.choice(FAULTS[place]) if faulty else sound
            self.faults.append(f"{place}:{fault.__name__}")
        answer = self.sound_answer(method, place, offset)
        fault(Exchange(self, connection, draw, path, offset, place, answer))

    def sound_answer(self, method: str, place: str, offset: int) -> Answer:
        """What a sound registry says to a request for the bytes from ``offset`` on."""
        if place == "resolve":
            body = json.dumps(self.answer()).encode()
            return Answer(200, {"Content-Type": "application/json"}, body)
        data = {"manifest": self.package.manifest, "bundle": self.package.bundle}.get(place)
        if data is None or method != "GET":
            return Answer(404, {}, b"not here")
        headers = {"ETag": f'"{digest_of(data)}"', "Accept-Ranges": "bytes"}
        if offset:
            headers["Content-Range"] = f"bytes {offset}-{len(data) - 1}/{len(data)}"
            return Answer(206, headers, data[offset:])
        return Answer(200, headers, data)


def _read_request(connection: socket.socket, data: bytes) -> tuple[bytes, bytes]:
    """A whole request, and what already came after it."""
    while True:
        head, found, rest = data.partition(b"\r\n\r\n")
        if found:
            length = next(
                (
                    int(line[15:])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                ),
                0,
            )
            if len(rest) >= length:
                end = len(head) + len(found) + length
                return data[:end], data[end:]
        if len(data) > _LONGEST_REQUEST or not (piece := connection.recv(1 << 16)):
            return b"", b""
        data += piece


def _offset(request: bytes) -> int:
    for line in request.split(b"\r\n"):
        if line.lower().startswith(b"range: bytes="):
            return int(line[13:].rstrip(b"-"))
    return 0
