"""A SOCKS5 proxy that wants a password (RFC 1928, RFC 1929) and looks names up itself."""

import socket
import socketserver
import struct
import threading
from contextlib import suppress

from programs.forwarding import PASSWORD, USER, carry

_BY_PASSWORD, _NONE_FITS = 2, 255
_CONNECT, _NAME = 1, 3
_REFUSED = 5


class SocksServer:
    """Serves in a thread for ever; ``log`` has host and port of every connection that was wanted."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.log: list[tuple[str, int]] = []
        server = socketserver.ThreadingTCPServer(address, type("Handler", (_Handler,), {"log": self.log}))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()


class _Handler(socketserver.StreamRequestHandler):
    log: list[tuple[str, int]]

    def handle(self) -> None:
        if not self._admit():
            return
        _, command, _, kind = self.rfile.read(4)
        assert (command, kind) == (_CONNECT, _NAME)
        host, (port,) = self._text(), struct.unpack("!H", self.rfile.read(2))
        self.log.append((host, port))
        try:
            far = socket.create_connection((host, port))
        except OSError:
            self._reply(_REFUSED)
            return
        with far:
            self._reply(0)
            back = threading.Thread(target=carry, args=(far, self.connection), daemon=True)
            back.start()
            carry(self.connection, far)
            back.join(5)

    def _admit(self) -> bool:
        _, count = self.rfile.read(2)
        if _BY_PASSWORD not in self.rfile.read(count):
            self.wfile.write(bytes([5, _NONE_FITS]))
            return False
        self.wfile.write(bytes([5, _BY_PASSWORD]))
        self.rfile.read(1)
        known = (self._text(), self._text()) == (USER, PASSWORD)
        self.wfile.write(bytes([1, 0 if known else 1]))
        return known

    def _text(self) -> str:
        return self.rfile.read(self.rfile.read(1)[0]).decode()

    def _reply(self, code: int) -> None:
        with suppress(OSError):
            self.wfile.write(bytes([5, code, 0, 1, 0, 0, 0, 0, 0, 0]))
