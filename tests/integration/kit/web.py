"""Web servers that know nothing of registries, each serving one folder on loopback as it does by default."""

import functools
import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kit.build import PROJECT, built, npm_install

_PATIENCE = 30.0
_SYSTEM = ("/usr/sbin", "/usr/local/sbin", "/sbin")
# As distributions ship it, but for the places where it writes.
_NGINX = """\
daemon off;
pid {scratch}/pid;
error_log {scratch}/error.log;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
    include {types};
    default_type application/octet-stream;
    sendfile on;
    tcp_nopush on;
    gzip on;
    access_log {scratch}/access.log;
    client_body_temp_path {scratch}/body;
    proxy_temp_path {scratch}/proxy;
    fastcgi_temp_path {scratch}/fastcgi;
    uwsgi_temp_path {scratch}/uwsgi;
    scgi_temp_path {scratch}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {folder};
        index index.html;
        location / {{ try_files $uri $uri/ =404; }}
    }}
}}
"""


@contextmanager
def nginx(folder: str) -> Iterator[str]:
    """Serve ``folder`` with nginx, whose worker is an unprivileged user under root; its URL."""
    program = nginx_program()
    types = os.path.join(program.rpartition("/usr/sbin/")[0], "/etc/nginx/mime.types".lstrip("/"))
    with tempfile.TemporaryDirectory() as scratch:
        port, configuration = free_port(), os.path.join(scratch, "nginx.conf")
        with open(configuration, "w") as file:
            file.write(
                _NGINX.format(scratch=scratch, types=f"/{types.lstrip('/')}", port=port, folder=folder)
            )
        command = [program, "-p", scratch, "-e", f"{scratch}/error.log", "-c", configuration]
        with _serving(command, port) as url:
            yield url


@contextmanager
def python_server(folder: str) -> Iterator[str]:
    """Serve ``folder`` with the standard library's server; its URL."""
    port = free_port()
    options = [str(port), "--bind", "127.0.0.1", "--directory", folder]
    with _serving([sys.executable, "-m", "http.server", *options], port) as url:
        yield url


@contextmanager
def node_server(folder: str) -> Iterator[str]:
    """Serve ``folder`` with npm's http-server; its URL."""
    port = free_port()
    program = os.path.join(_npm("http-server@14"), "bin", "http-server")
    with _serving(["node", program, folder, "-a", "127.0.0.1", "-p", str(port)], port) as url:
        yield url


@contextmanager
def object_store(folder: str) -> Iterator[str]:
    """Serve a copy of ``folder`` from a bucket of npm's s3rver, which speaks S3; the bucket's URL."""
    port = free_port()
    program = os.path.join(_npm("s3rver@3"), "bin", "s3rver.js")
    with tempfile.TemporaryDirectory() as scratch:
        options = ["-d", scratch, "-a", "127.0.0.1", "-p", str(port), "--configure-bucket", "mirror"]
        with _serving(["node", program, *options], port) as url:
            for parent, _, names in os.walk(folder):
                for name in names:
                    path = os.path.join(parent, name)
                    with open(path, "rb") as file:
                        key = os.path.relpath(path, folder).replace("+", "%2B")
                        assert _send(port, "PUT", f"/mirror/{key}", file.read()) == 200
            yield f"{url}/mirror"


@contextmanager
def cutting(url: str, after: int) -> Iterator[tuple[str, list[str]]]:
    """A front of ``url`` that cuts each whole artifact off after so many bytes; its URL, and ranges asked."""
    host = url.removeprefix("http://")
    ranges: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            connection = http.client.HTTPConnection(host, timeout=_PATIENCE)
            connection.request("GET", self.path, headers={"Range": asked} if asked else {})
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {"connection", "server", "date"}:
                    self.send_header(name, value)
            self.end_headers()
            ranges.append(asked or "whole")
            if asked is None and "/artifacts/" in self.path and len(body) > after:
                body = body[:after]
                self.close_connection = True
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name of the base class)
            """The list is the log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", ranges
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


SERVERS: Mapping[str, Callable[[str], AbstractContextManager[str]]] = {
    "nginx": nginx,
    "python": python_server,
    "node": node_server,
    "s3": object_store,
}


def nginx_program() -> str:
    """The machine's nginx, or the one that ``tools/setup.sh tests`` has fetched."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *_SYSTEM))
    fetched = os.path.join(PROJECT, ".build", "nginx", "usr", "sbin", "nginx")
    return shutil.which("nginx", path=path) or fetched


def free_port() -> int:
    """A port of loopback that nobody has a moment from now, most likely."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@functools.cache
def _npm(package: str) -> str:
    name = package.partition("@")[0]
    folder = built(name, [package], lambda staged: npm_install(staged, package))
    return os.path.join(folder, "node_modules", name)


@contextmanager
def _serving(command: Sequence[str], port: int) -> Iterator[str]:
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            end = time.monotonic() + _PATIENCE
            while not _answers(port):
                said.seek(0)
                assert process.poll() is None, said.read().decode()
                assert time.monotonic() < end, said.read().decode()
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(_PATIENCE)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _send(port: int, method: str, path: str, body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    try:
        connection.request(method, path, body, {"Content-Type": "application/octet-stream"})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()
