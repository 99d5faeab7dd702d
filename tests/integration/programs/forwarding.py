"""A forward proxy that wants a password: absolute URLs for http, CONNECT for https."""

import base64
import http.client
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

USER, PASSWORD = "proxy-user", "proxy-pass word"
_EXPECTED = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class Forwarder:
    """Serves in a thread for ever; ``log`` has method, target and headers of every request."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.log: list[dict[str, Any]] = []
        server = ThreadingHTTPServer(address, type("Handler", (_Handler,), {"log": self.log}))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    log: list[dict[str, Any]]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name of the base class)
        """The proxy keeps its own log."""

    def _admit(self) -> bool:
        self.log.append({"method": self.command, "target": self.path, "headers": dict(self.headers.items())})
        if self.headers.get("Proxy-Authorization") == _EXPECTED:
            return True
        self.send_response(407, "Who are you\x1b[2J")
        self.send_header("Proxy-Authenticate", "Basic")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False

    def do_CONNECT(self) -> None:
        if not self._admit():
            return
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port))) as far:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=carry, args=(far, self.connection), daemon=True)
            back.start()
            carry(self.connection, far)
            back.join(5)
        self.close_connection = True

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if not self._admit():
            return
        parts = urlsplit(self.path)
        far = http.client.HTTPConnection(str(parts.hostname), parts.port or 80, timeout=20)
        kept = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
        far.request(self.command, parts._replace(scheme="", netloc="").geturl(), body, kept)
        answer = far.getresponse()
        data = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"transfer-encoding", "connection", "server", "date"}:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = _forward  # noqa: N815 (names of the base class)


def carry(source: socket.socket, sink: socket.socket) -> None:
    """Copy until the end of ``source``, and pass that end on."""
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
