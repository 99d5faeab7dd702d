"""One request to a faulty registry, and what a sound one would say to it."""

import random
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kit.faulty import FaultyRegistry

# What a terminal must not be sent: clear the screen, set the title, go back, turn the text around.
ESCAPES = "\x1b[2J\x1b]0;owned\x07\r\x9b31m\u202ekcab\x00"
SOON = 0.02


class Answer(NamedTuple):
    """What a sound registry would answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def encoded(self, **changed: str | None) -> bytes:
        """As it stands on the wire; ``content_length=None`` leaves that header out."""
        headers = {"Content-Length": str(len(self.body)), **self.headers}
        for name, value in changed.items():
            headers[name.replace("_", "-").title()] = value  # type: ignore[assignment]
        lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
        head = f"HTTP/1.1 {self.status} Whatever\r\n" + "".join(f"{line}\r\n" for line in lines) + "\r\n"
        return head.encode("latin-1", "replace") + self.body


class Exchange(NamedTuple):
    """One request and the means to answer it, soundly or not."""

    registry: "FaultyRegistry"
    socket: socket.socket
    random: random.Random
    path: str
    range: int
    place: str
    sound: Answer

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def pause(self, seconds: float) -> bool:
        """Wait; whether the registry is closing."""
        return self.registry.closing.wait(seconds)

    def close(self) -> None:
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def reset(self) -> None:
        """Close with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def end(self) -> None:
        self.random.choice([self.close, self.reset])()


Fault = Callable[[Exchange], None]


def sound(at: Exchange) -> None:
    at.send(at.sound.encoded())
