"""What the proxy before an HTTP server costs, beside the same server bare.

First how long a start takes. Then one Node server (http_server.js) is asked by the same client
(http_client.py) directly, through our proxy in a process of its own, and through nginx where it is
installed, in turns; and the same program in a sandbox by ``mcp run``. ``small`` and ``fresh`` are
milliseconds of a small request on a kept and on a new connection; ``sized``, ``chunked``, ``upload`` and
``pieces`` (an upload in chunks) GB/s; ``events`` thousands of small events a second of one stream. Then 200
streams at the same time, and a burst of 5,000 requests on 50 connections: how many got what they should.
Last, the processor's time in the process between: ms for 1,000 small requests (``small``) and for one GB
(the others), which other work on the machine hardly changes. ``memory`` is what each of 200 quiet streams
adds to our proxy's own (Private_Dirty, kB).
"""

import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TextIO

from kit.bundle import manifest_form, pack_files, package
from kit.command import Mcp
from kit.endpoint import Endpoint
from kit.registry import Registry
from measure import HERE, Scale, percentile, take_turns
from peers import BARE, OURS, Found
from start import compare
from subjects import World
from table import Table

TURNS, STREAMS, BURST = 6, 200, 5000
FILES = 4096
REFERENCE = "test/http@1.0.0"
RUNS, MEGABYTES, SECONDS = 6000, 768, 10
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


def measure_http(world: World, found: Found, scale: Scale) -> list[Table]:
    """Milliseconds of requests and GB/s, by each way to the same server."""
    node = shutil.which("node")
    if node is None:
        return []
    alone = (node, os.path.join(HERE, "http_server.js"))
    with contextlib.ExitStack() as stack:
        mcp = stack.enter_context(packaged())
        starts = take_turns(
            {
                BARE: lambda: time_start(bare_server(alone)),
                OURS: lambda: time_start(sandboxed(mcp)),
            },
            scale.turns,
        )
        server = stack.enter_context(program(*alone))
        bare = int(server.stdout.readline())
        proxy = stack.enter_context(program(sys.executable, os.path.join(HERE, "bare_proxy.py"), str(bare)))
        port = int(proxy.stdout.readline())
        kept = memory_of_streams(proxy.pid, port)
        clients = {"bare": stack.enter_context(client(bare)), "proxy": stack.enter_context(client(port))}
        between = {"proxy": proxy.pid}
        whole_port, between["mcp run"] = stack.enter_context(sandboxed(mcp))
        clients["mcp run"] = stack.enter_context(client(whole_port))
        if nginx := shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin"):
            nginx_port, between["nginx"] = stack.enter_context(relay(nginx, bare))
            clients["nginx"] = stack.enter_context(client(nginx_port))
        rows = measure(clients, max(600, scale.of(RUNS)), scale.of(MEGABYTES))
        held = {name: hold(one, max(2, scale.of(SECONDS))) for name, one in clients.items()}
        worked = {name: work(clients[name], pid, scale) for name, pid in between.items()}
    return [table_of_starts(starts), table_of_speed(rows), table_of_load(held, worked, kept)]


def table_of_starts(starts: Mapping[str, Sequence[float]]) -> Table:
    """Beside the bare server."""
    note = (
        "Milliseconds from the spawn until a Node server that listens can be asked, everything cached: by "
        "itself it has said its port then, `mcp run` the URL."
    )
    columns = ("server", "by", "median", "quartiles", "added", "ratio")
    return Table("Warm run of a server that listens", note, columns, compare("HTTP", starts))


def table_of_speed(rows: dict[str, dict[str, float]]) -> Table:
    """One line for each; what is in brackets compares with the bare server."""
    names = list(rows["bare"])
    lines = []
    for name, row in rows.items():
        cells = [name]
        for task in names:
            bare = rows["bare"][task]
            slow = task[:5] in {"small", "fresh"}
            compare = f"{row[task] - bare:+.2f}" if slow else f"{row[task] / bare:.2f}"
            cells.append(f"{row[task]:.2f}" + ("" if name == "bare" else f" ({compare})"))
        lines.append(cells)
    note = (
        "One Node server, asked by one client directly, through our proxy alone, through `mcp run` with the "
        "sandbox, and through nginx. `small` and `fresh`: milliseconds of a request on a kept and on a new "
        "connection (and what is added); GB/s of `sized` and `chunked` answers, of a sized `upload` and of "
        "one in `pieces`, thousands of `events` a second (share of the bare server's)."
    )
    return Table("The proxy before an HTTP server", note, ("by", *names), lines)


def table_of_load(
    held: dict[str, dict[str, float]], worked: dict[str, dict[str, float]], kept: dict[str, float]
) -> Table:
    """What many at a time get, and what the process between needs for it."""
    tasks = list(next(iter(worked.values())))
    lines = []
    for name, row in held.items():
        spent = worked.get(name, {})
        cells = [f"{row['events']:.0f}/{row['events wanted']:.0f}", f"{row['answers']:.0f}/{BURST}"]
        cells += [f"{row['requests/s']:.0f}", *(f"{spent[task]:.0f}" if spent else "-" for task in tasks)]
        lines.append([name, *cells])
    memory = ", ".join(f"{name} {value:.1f}" for name, value in kept.items())
    note = (
        f"Events that {STREAMS} streams got at the same time, answers to a burst of {BURST} requests on 50 "
        "connections and how many a second; then the processor's time of the process between: ms for 1,000 "
        f"small requests, and for one GB of the others. Memory of our proxy in kB: {memory}."
    )
    columns = ("by", "events", "answers", "requests/s", *(f"CPU {task}" for task in tasks))
    return Table("Many at a time before an HTTP server", note, columns, lines)


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
def packaged() -> Iterator[Mcp]:
    """``mcp`` with the server as its only package."""
    with open(os.path.join(HERE, "http_server.js"), encoding="utf-8") as file:
        bundle = pack_files({"server.js": file.read()})
    resources = {"max_fds": FILES, "cpu_millicores": 2000}
    form = manifest_form(REFERENCE, "node", "${bundle}/server.js", transport="http", resources=resources)
    with tempfile.TemporaryDirectory() as folder, Registry() as registry:
        registry.publish(package(form, bundle))
        yield Mcp(folder, registry.url)


@contextlib.contextmanager
def sandboxed(mcp: Mcp) -> Iterator[tuple[int, int]]:
    """The server in a sandbox of its own: the port of its endpoint, and the supervisor's pid."""
    with Endpoint(mcp, REFERENCE) as endpoint:
        yield int(endpoint.facts["port"]), endpoint.process.pid


def time_start(start: contextlib.AbstractContextManager[object]) -> float:
    """Milliseconds until it can be asked; not its end."""
    began = time.perf_counter()
    with start:
        return (time.perf_counter() - began) * 1000


@contextlib.contextmanager
def bare_server(command: Sequence[str]) -> Iterator[None]:
    """The server by itself, which says its port when it listens."""
    with program(*command) as server:
        server.stdout.readline()
        yield


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
        "pieces": megabytes // TURNS,
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
        rows[name]["small 99%"] = percentile(found[name, "small"], 99)
    return rows


def hold(one: Client, seconds: int) -> dict[str, float]:
    """Many at a time: nothing may be lost."""
    seen, wanted, _ = one.ask("streams", seconds)
    good, taken = one.ask("burst", BURST)
    return {"events": seen, "events wanted": wanted, "answers": good, "requests/s": good / taken}


def work(one: Client, pid: int, scale: Scale) -> dict[str, float]:
    """Milliseconds of the processor that the process between needs, see table_of_load()."""
    found = {}
    for task, usual in (("small", 1000), ("sized", 954), ("chunked", 954), ("upload", 954)):
        before, count = processor(pid), scale.of(usual)
        one.ask(task, count)
        found[task] = (processor(pid) - before) * usual / count
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
