"""Web servers that write down who asked them, with a git repository and a little of a cluster's interface."""

import http.client
import json
import os
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler

import places

KINDS = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [{"name": "namespaces", "namespaced": False, "kind": "Namespace", "verbs": ["list"]}],
    },
    "/api/v1/namespaces": {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": [{"name": "Name", "type": "string", "format": "name"}],
        "rows": [
            {
                "cells": ["far-away"],
                "object": {
                    "kind": "PartialObjectMetadata",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": {"name": "far-away"},
                },
            }
        ],
    },
}


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64
    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests."""


def server(
    port: int, side: str, folder: str, note: Callable[..., None], *, secure: bool = False
) -> socketserver.BaseServer:
    """A server at every address, bound and not running yet; ``side`` says on which machine it is."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name of the base class)
            """What is worth it is noted in another way."""

        def do_GET(self) -> None:
            self._serve(b"")

        def do_POST(self) -> None:
            self._serve(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

        def _serve(self, body: bytes) -> None:
            path = self.path.partition("?")[0]
            agent = self.headers.get("User-Agent", "")
            note("web", side=side, host=self.headers.get("Host"), path=path, port=port, agent=agent)
            if path.startswith("/repository.git"):
                self._send(*git(folder, self.command, self.path, self.headers, body))
            elif path in KINDS:
                self._send(200, json.dumps(KINDS[path]).encode(), "application/json")
            elif path.startswith("/large/"):
                self._send(200, b"x" * int(path.rpartition("/")[2]), "text/plain")
            else:
                self._send(200, f"{side} greets {self.headers.get('Host')}\n".encode(), "text/plain")

        def _send(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    made = _Server(("::", port), Handler)
    if secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{folder}/server.pem", f"{folder}/server.key")
        # The greeting is the thread's work: a client that hangs must not keep the others waiting.
        made.socket = context.wrap_socket(made.socket, server_side=True, do_handshake_on_connect=False)
    return made


def git(folder: str, method: str, target: str, asked: Message, body: bytes) -> tuple[int, bytes, str]:
    """Status, content and its type for one request to the repository, by git itself."""
    path, _, query = target.partition("?")
    variables = {
        "GIT_PROJECT_ROOT": folder,
        "GIT_HTTP_EXPORT_ALL": "1",
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_TYPE": asked.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "GIT_PROTOCOL": asked.get("Git-Protocol", ""),
        # A user namespace maps one user, and the repository may be another one's.
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }
    environment = {**os.environ, **variables}
    command = ["git", "http-backend"]
    done = subprocess.run(command, input=body, env=environment, stdout=subprocess.PIPE, check=False)
    head, _, content = done.stdout.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
    return int(fields.get("Status", "200").split()[0]), content, fields["Content-Type"]


def proxy(note: Callable[..., None]) -> socketserver.BaseServer:
    """A proxy that only knows CONNECT, bound and not running yet."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            line = self.rfile.readline().decode().split()
            head = http.client.parse_headers(self.rfile)
            note("proxy", method=line[0], target=line[1], user=head.get("Proxy-Authorization"))
            host, _, port = line[1].rpartition(":")
            with socket.create_connection((host.strip("[]"), int(port)), 10) as far:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                carrier = threading.Thread(target=carry, args=(far, self.connection), daemon=True)
                carrier.start()
                carry(self.connection, far)
                carrier.join()

    class Proxies(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A target that cannot be reached closes the connection."""

    return Proxies(places.PROXY, Handler)


def carry(source: socket.socket, target: socket.socket) -> None:
    """Copy until the end of one direction."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
