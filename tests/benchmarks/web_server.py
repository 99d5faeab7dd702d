"""A quick web server for files on loopback, in a process of its own."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from shutil import copyfileobj
from typing import Any

_CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; root {site}; }}
}}
"""


@contextmanager
def serve(site: str, folder: str) -> Iterator[tuple[str, str]]:
    """Serve ``site``; the URL, and what serves it. ``folder`` is for its files."""
    port = _free_port()
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if nginx:
        configuration = os.path.join(folder, "nginx.conf")
        with open(configuration, "w") as file:
            file.write(_CONFIGURATION.format(folder=folder, port=port, site=site))
        command = [nginx, "-c", configuration, "-e", f"{folder}/nginx.log"]
    else:
        command = [sys.executable, os.path.abspath(__file__), site, str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            _await(port, process)
            yield f"http://127.0.0.1:{port}", "nginx" if nginx else "sendfile(2)"
        finally:
            process.terminate()


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name of the base class)
        """Say nothing."""

    def copyfile(self, source: Any, outputfile: Any) -> None:
        try:
            self.connection.sendfile(source)
        except (AttributeError, OSError):
            copyfileobj(source, outputfile)


def _free_port() -> int:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _await(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(500):
        with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port))):
            return
        if process.poll() is not None:
            break
        time.sleep(0.01)
    sys.exit("the web server does not start")


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), _Handler).serve_forever()
