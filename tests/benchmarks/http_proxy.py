"""What the proxy before an HTTP server costs, beside the same server bare.

    .venv/bin/python tests/benchmarks/http_proxy.py [--runs N] [--megabytes N] [--seconds N] [--json]

One Node server (http_server.js) is asked by the same client (http_client.py) directly, through our proxy in
a process of its own, and through nginx where it is installed, in turns; and the same program in a sandbox by
``mcp run``. ``small`` and ``fresh`` are
milliseconds of a small request on a kept and on a new connection; ``sized``, ``chunked`` and ``upload`` GB/s;
``events`` thousands of small events a second of one stream. Then 200 streams at the same time, and a burst of
5,000 requests on 50 connections: how many got what they should. Last, the processor's time in the process
between: ms for 1,000 small requests (``small``) and for one GB (the others), which other work on the machine
hardly changes. ``memory`` is what each of 200 quiet streams adds to our proxy's own (Private_Dirty, kB).
"""

import argparse
import contextlib
import json
import os
import resource
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, TextIO

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))

from kit.bundle import manifest_form, pack_files, package  # noqa: E402 (the line above makes it importable)
from kit.command import Mcp  # noqa: E402
from kit.endpoint import Endpoint  # noqa: E402
from kit.registry import Registry  # noqa: E402

TURNS, STREAMS, BURST = 6, 200, 5000
FILES = 4096
NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log /dev/null;
events {{ worker_connections 2048; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream server {{ server 127.0.0.1:{bare}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port}; keepalive_requests 1000000; client_max_body_size 0;
    location / {{
      proxy_pass http://server; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 1h;
    }}
  }}
}}
"""
WIDTH = 14


def main() -> None:
    """Measure and print a table, or JSON."""
    if sys.argv[1:2] == ["proxy"]:
        run_proxy(int(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=6000)
    parser.add_argument("--megabytes", type=int, default=1536)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (FILES, max(FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    )
    node = shutil.which("node")
    if node is None:
        print("Node is needed, and not there")
        return
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(program(node, os.path.join(HERE, "http_server.js")))
        bare = int(server.stdout.readline())
        proxy = stack.enter_context(program(sys.executable, __file__, "proxy", str(bare)))
        port = int(proxy.stdout.readline())
        kept = memory_of_streams(proxy.pid, port)
        clients = {"bare": stack.enter_context(client(bare)), "proxy": stack.enter_context(client(port))}
        between = {"proxy": proxy.pid}
        whole_port, between["mcp run"] = stack.enter_context(sandboxed())
        clients["mcp run"] = stack.enter_context(client(whole_port))
        if nginx := shutil.which("nginx"):
            nginx_port, between["nginx"] = stack.enter_context(relay(nginx, bare))
            clients["nginx"] = stack.enter_context(client(nginx_port))
        rows = measure(clients, given.runs, given.megabytes)
        held = {name: hold(one, given.seconds) for name, one in clients.items()}
        worked = {name: work(clients[name], pid) for name, pid in between.items()}
    found = {"rows": rows, "held": held, "worked": worked, "memory": kept}
    if given.json:
        print(json.dumps(found, indent=2))
    else:
        print_table(rows)
        for title in ("held", "worked"):
            for name, values in found[title].items():
                print(
                    f"{title} {name}".ljust(14)
                    + ", ".join(f"{key} {value:.0f}" for key, value in values.items())
                )
        print("memory".ljust(14) + ", ".join(f"{key} {value:.1f} kB" for key, value in kept.items()))


class Client(NamedTuple):
    """It takes tasks."""

    commands: TextIO
    results: TextIO

    def ask(self, task: str, count: int) -> list[float]:
        """The results of one task."""
        self.commands.write(json.dumps([task, count]) + "\n")
        self.commands.flush()
        line = self.results.readline()
        if not line:
            raise RuntimeError(f"the client ended in {task!r}")
        return list(json.loads(line))


@contextlib.contextmanager
def program(*command: str) -> Iterator["subprocess.Popen[str]"]:
    """Run until the end of this."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


@contextlib.contextmanager
def client(port: int) -> Iterator[Client]:
    """A client of this port."""
    with program(sys.executable, os.path.join(HERE, "http_client.py"), str(port)) as child:
        yield Client(child.stdin, child.stdout)


@contextlib.contextmanager
def sandboxed() -> Iterator[tuple[int, int]]:
    """The server in a sandbox of its own: the port of its endpoint, and the supervisor's pid."""
    with open(os.path.join(HERE, "http_server.js"), encoding="utf-8") as file:
        bundle = pack_files({"server.js": file.read()})
    resources = {"max_fds": FILES, "cpu_millicores": 2000}
    form = manifest_form(
        "test/http@1.0.0", "node", "${bundle}/server.js", transport="http", resources=resources
    )
    with tempfile.TemporaryDirectory() as folder, Registry() as registry:
        registry.publish(package(form, bundle))
        with Endpoint(Mcp(folder, registry.url), "test/http@1.0.0") as endpoint:
            yield int(endpoint.facts["port"]), endpoint.process.pid


@contextlib.contextmanager
def relay(nginx: str, bare: int) -> Iterator[tuple[int, int]]:
    """nginx before the server, one worker: the port it listens on, and its pid."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "nginx.conf"), "w", encoding="ascii") as file:
            file.write(NGINX.format(port=port, bare=bare, folder=folder))
        command = (nginx, "-p", folder, "-c", os.path.join(folder, "nginx.conf"), "-e", "/dev/null")
        with program(*command) as child:
            until = time.monotonic() + 10
            while time.monotonic() < until:
                with contextlib.suppress(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                time.sleep(0.05)
            yield port, child.pid


def measure(clients: dict[str, Client], runs: int, megabytes: int) -> dict[str, dict[str, float]]:
    """Every task in turn by each; medians, and the 99th percentile of ``small``."""
    tasks = {
        "small": runs // TURNS,
        "fresh": runs // TURNS // 4,
        "sized": megabytes // TURNS,
        "chunked": megabytes // TURNS,
        "upload": megabytes // TURNS,
        "events": 20_000,
    }
    found: dict[tuple[str, str], list[float]] = {}
    for one in clients.values():
        for task, count in tasks.items():
            one.ask(task, max(1, count // 4))
    for _ in range(TURNS):
        for task, count in tasks.items():
            for name, one in clients.items():
                found.setdefault((name, task), []).extend(one.ask(task, count))
    rows = {}
    for name in clients:
        rows[name] = {task: statistics.median(found[name, task]) for task in tasks}
        rows[name]["small 99%"] = statistics.quantiles(found[name, "small"], n=100)[-1]
    return rows


def hold(one: Client, seconds: int) -> dict[str, float]:
    """Many at a time: nothing may be lost."""
    seen, wanted, _ = one.ask("streams", seconds)
    good, taken = one.ask("burst", BURST)
    return {"events": seen, "events wanted": wanted, "answers": good, "requests/s": good / taken}


def work(one: Client, pid: int) -> dict[str, float]:
    """Milliseconds of the processor that the process between needs, see the module."""
    found = {}
    for task, count in (("small", 1000), ("sized", 954), ("chunked", 954), ("upload", 954)):
        before = processor(pid)
        one.ask(task, count)
        found[task] = processor(pid) - before
    return found


def processor(pid: int) -> float:
    """Milliseconds of a process so far (proc_pid_stat(5))."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def memory_of_streams(pid: int, port: int) -> dict[str, float]:
    """All in kB: the proxy with nothing to do, and what each of many quiet streams adds."""
    with socket.create_connection(("127.0.0.1", port)) as end:
        end.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 0\r\n\r\n" % port)
        end.recv(1000)
    before = private(pid)
    with contextlib.ExitStack() as stack:
        for _ in range(STREAMS):
            end = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            end.sendall(b"GET /ticks?100000000 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % port)
            while b"data: tick" not in end.recv(1000):
                pass
        each = (private(pid) - before) / STREAMS
    time.sleep(0.5)
    return {"idle": before, "each stream": each, "after them": private(pid)}


def private(pid: int) -> float:
    """Private_Dirty of a process in kB (proc_pid_smaps(5))."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return next(float(line.split()[1]) for line in file if line.startswith("Private_Dirty"))


def print_table(rows: dict[str, dict[str, float]]) -> None:
    """One line for each; what is in brackets compares with the bare server."""
    names = list(next(iter(rows.values())))
    print(" " * 8 + "".join(name.rjust(WIDTH) for name in names))
    for name, row in rows.items():
        cells = []
        for task in names:
            bare = rows["bare"][task]
            compare = (
                f"+{row[task] - bare:.2f}" if task[:5] in {"small", "fresh"} else f"{row[task] / bare:.2f}"
            )
            cells.append(f"{row[task]:.2f}" + ("" if name == "bare" else f" ({compare})"))
        print(name.ljust(8) + "".join(cell.rjust(WIDTH) for cell in cells))


def run_proxy(port: int) -> None:
    """The proxy alone, in the loop that the supervisor has, before the server on this port."""
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "src"))
    from mcp_client.executor.http.guard import Guard
    from mcp_client.executor.http.proxy import Proxy

    class Upstream:
        """Connects right here."""

        def connect(self, on_socket: Callable[[socket.socket | None], None]) -> None:
            end = socket.socket()
            end.setblocking(False)
            end.connect_ex(("127.0.0.1", port))
            on_socket(end)

    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    ours = listener.getsockname()[1]
    proxy = Proxy(listener, Upstream(), Guard(frozenset({f"127.0.0.1:{ours}"}), frozenset(), None), port=port)
    print(ours, flush=True)
    poll = select.poll()
    proxy.watch(poll)
    while True:
        due = proxy.due_at
        wait = None if due is None else max(0.0, due - time.monotonic()) * 1000 + 1
        proxy.move(poll, dict(poll.poll(wait)))


if __name__ == "__main__":
    main()
