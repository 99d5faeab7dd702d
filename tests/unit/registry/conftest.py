"""A server on loopback with every fault a registry can have, and clients that do not pause between tries."""

import hashlib
import json
import os
import socket
import struct
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import NamedTuple

import pytest

from mcp_client.config.settings import RegistrySettings
from mcp_client.digest import Digest
from mcp_client.reference import parse_reference
from mcp_client.registry import download, https
from mcp_client.registry.client import open_registry
from mcp_client.registry.credentials import Credentials
from mcp_client.registry.urls import origin_of
from mcp_client.resolution import Descriptor


class Request(NamedTuple):
    method: str
    path: str
    headers: dict
    body: bytes

    @property
    def token(self):
        return self.headers.get("authorization")


class Server:
    """Answers by ``routes``, path without query to a function of the handler; 404 in plain text otherwise."""

    def __init__(self, family=socket.AF_INET, host="127.0.0.1"):
        class Listener(ThreadingHTTPServer):
            address_family = family
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request, client_address):
                """Clients that hang up are part of the tests."""

        self.routes = {}
        self.log = []
        self.closing = threading.Event()
        self._listener = Listener((host, 0), type("Handler", (Handler,), {"owner": self}))
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def port(self):
        return self._listener.server_address[1]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def paths(self):
        return [f"{one.method} {one.path}" for one in self.log]

    def close(self):
        self.closing.set()
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner = None

    def log_message(self, *args):
        """The server keeps its own log."""

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.owner.log.append(Request(self.command, self.path, headers, body))
        route = self.owner.routes.get(self.path.partition("?")[0], send(404, b"nothing here"))
        with suppress(OSError):
            route(self)

    do_GET = do_POST = answer  # noqa: N815 (names of the base class)

    def begin(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def reset(self):
        """Close with RST instead of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        os.close(self.connection.detach())


def send(status=200, body=b"", headers=None):
    """A route that answers plainly; a body that is no bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    def route(handler):
        handler.begin(status, {"Content-Length": str(len(data)), **(headers or {})})
        handler.wfile.write(data)

    return route


def redirect(target, status=302):
    return send(status, b"elsewhere", {"Location": target})


def in_turn(*routes):
    """A route that takes the next of ``routes`` each time, and stays with the last."""
    left = list(routes)

    def route(handler):
        (left.pop(0) if len(left) > 1 else left[0])(handler)

    return route


def endless(status=200, piece=b"x" * 65536, pause=0.0):
    def route(handler):
        handler.begin(status, {"Connection": "close"})
        handler.close_connection = True
        while not handler.owner.closing.wait(pause):
            handler.wfile.write(piece)

    return route


ONE = parse_reference("acme/one@1.2.3")
RESOLVE = "/v1/packages/acme/one/resolve"
STATIC = "/packages/acme/one/1.2.3.json"
HEX = "a" * 64
ANSWER = {
    "manifest": {"digest": f"sha256:{HEX}", "url": "/m"},
    "bundle": {"digest": f"sha256:{'b' * 64}", "url": "/b"},
}


def descriptor(data, url="/artifact", size=None):
    return Descriptor(Digest(hashlib.sha256(data).hexdigest()), url, size)


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """How long it would have paused between tries."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    slept = []
    clock = SimpleNamespace(sleep=slept.append, monotonic=time.monotonic)
    for module in (https, download):
        monkeypatch.setattr(module, "time", clock)
    return slept


@pytest.fixture
def new_server():
    servers = []

    def start(*args):
        servers.append(Server(*args))
        return servers[-1]

    yield start
    for one in servers:
        one.close()


@pytest.fixture
def server(new_server):
    return new_server()


@pytest.fixture
def open_at(tmp_path):
    """open_registry() with what most tests do not care about filled in."""
    opened = []

    def open_it(url, token=None, dialect=None, on_dialect=lambda _dialect: None, stored=None, **settings):
        settings = RegistrySettings(url, **{"timeout": 20.0, "token": token, "configured": url, **settings})
        credentials = Credentials(str(tmp_path / "home" / "auth.json"))
        if stored is not None:
            credentials.store(origin_of(url), stored)
        opened.append(
            open_registry(
                url, settings=settings, credentials=credentials, dialect=dialect, on_dialect=on_dialect
            )
        )
        return opened[-1]

    yield open_it
    for client in opened:
        client.close()


@pytest.fixture
def kit():
    """What tests in this folder share beside fixtures."""
    return SimpleNamespace(
        send=send,
        redirect=redirect,
        in_turn=in_turn,
        endless=endless,
        descriptor=descriptor,
        one=ONE,
        resolve=RESOLVE,
        static=STATIC,
        hex=HEX,
        answer=ANSWER,
    )
