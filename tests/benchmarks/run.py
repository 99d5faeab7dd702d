"""How long until a server answers ``initialize``: through ``mcp run``, bare, and through what people use now.

    .venv/bin/python tests/benchmarks/run.py [--runs N] [--json] [SERVER ...]

Every contender starts the same interpreter on the same unpacked file. All of them run in turn, again and
again, in one process of measuring, so that a busy moment of the machine hits each alike. Times are from just
before the spawn to the first complete line of the answer, in milliseconds. Memory is what stays beside the
server while it runs: the PSS of all processes between the client and the server.
"""

import argparse
import contextlib
import glob
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TESTS, "integration"))

from kit import processes, programs, servers  # noqa: E402 (the line above makes it importable)
from kit.bundle import Package  # noqa: E402
from kit.command import EXECUTABLE, Mcp  # noqa: E402
from kit.registry import Registry  # noqa: E402

from mcp_client import platforms  # noqa: E402

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "benchmark", "version": "1.0.0"},
    },
}
MESSAGE = json.dumps(INITIALIZE).encode() + b"\n"


class Contender(NamedTuple):
    """One way to start one server; ``env`` is complete."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]


class Row(NamedTuple):
    """Milliseconds: median and quartiles; ``added`` and ``ratio`` compare with the bare server.

    ``memory`` is in MB, None when this user may not see it.
    """

    server: str
    contender: str
    median: float
    low: float
    high: float
    added: float
    ratio: float
    memory: float | None


# By name: the package, the arguments of the run, and the commands by which peers start the same server.
SERVERS: dict[str, tuple[Callable[[], Package], Sequence[str], Mapping[str, Sequence[str]]]] = {
    "minimal": (programs.single, ["hello"], {}),
    "native": (lambda: servers.native_server().package, [], {}),
    "time": (
        lambda: servers.time_server().package,
        [],
        {"uvx": ["uvx", "--offline", "mcp-server-time"]},
    ),
    "everything": (
        lambda: servers.everything_server().package,
        [],
        {"npx": ["npx", "--offline", "--yes", "@modelcontextprotocol/server-everything", "stdio"]},
    ),
}


def main() -> None:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=f"any of {', '.join(SERVERS)}")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        rows = [
            row for name in given.servers or SERVERS for row in _measure(name, f"{folder}/{name}", given.runs)
        ]
    if given.json:
        print(json.dumps([row._asdict() for row in rows], indent=2))
    else:
        _print_table(rows, given.runs)


def _measure(name: str, folder: str, runs: int) -> list[Row]:
    build, arguments, peers = SERVERS[name]
    contenders = _contenders(build(), arguments, peers, folder)
    taken: dict[str, list[float]] = {one.name: [] for one in contenders}
    for turn in range(runs + 1):
        for one in contenders[turn % len(contenders) :] + contenders[: turn % len(contenders)]:
            milliseconds = _time_until_answer(one)
            if turn:  # the first turn warms the page cache
                taken[one.name].append(milliseconds)
    bare = statistics.median(taken["bare"])
    rows = []
    for one in contenders:
        low, median, high = statistics.quantiles(taken[one.name], n=4)
        rows.append(Row(name, one.name, median, low, high, median - bare, median / bare, _memory_beside(one)))
    return rows


def _contenders(
    package: Package, arguments: Sequence[str], peers: Mapping[str, Sequence[str]], folder: str
) -> list[Contender]:
    """The bare server, ``mcp run``, bubblewrap and the peers; absent ones are left out, and that is said."""
    os.makedirs(folder)
    with Registry() as registry:
        registry.publish(package)
        mcp = Mcp(folder, registry.url)
        pulled = mcp.run("pull", package.reference)
        if pulled.status:
            sys.exit(pulled.stderr)
    # By a name without a colon: the one in the digest would end an entry of PYTHONPATH.
    tree = os.path.join(folder, "tree")
    os.symlink(*glob.glob(os.path.join(mcp.cache, "trees", "*")), tree)
    bare, variables = _bare_command(package, arguments, tree)
    env = {"PATH": mcp.env["PATH"], "HOME": folder, **variables}
    found = [
        Contender("bare", bare, env),
        Contender("mcp run", [EXECUTABLE, "run", package.reference, "--", *arguments], mcp.env),
    ]
    if shutil.which("bwrap"):
        # The least it can do for the same server: everything readable, nothing shared but the files.
        sandbox = ["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
        found.append(Contender("bubblewrap", ["bwrap", "--unshare-all", *sandbox, "--", *bare], env))
    for name, command in peers.items():
        if shutil.which(command[0]) and _is_warm(command):
            found.append(Contender(name, command, dict(os.environ)))
    missing = {"bubblewrap", *peers} - {one.name for one in found}
    if missing:
        print(f"not here, left out: {', '.join(sorted(missing))}", file=sys.stderr)
    return found


def _bare_command(package: Package, arguments: Sequence[str], tree: str) -> tuple[list[str], dict[str, str]]:
    """The entrypoint with the real interpreter, as ``mcp run`` starts it: no shim in between."""
    entrypoint = json.loads(package.manifest)["entrypoints"][platforms.current()]
    command = entrypoint["command"]
    if "/" in command:
        program = os.path.join(tree, command)
    elif command == "python3":
        program = os.path.realpath(os.path.join(sys.base_prefix, "bin", "python3"))
    else:
        program = os.path.realpath(shutil.which(command) or command)
    variables = {key: value.replace("${bundle}", tree) for key, value in entrypoint.get("env", {}).items()}
    return [program, *(text.replace("${bundle}", tree) for text in entrypoint["args"]), *arguments], variables


def _is_warm(command: Sequence[str]) -> bool:
    """Fill the peer's cache by one run with the network; False when even that does not answer."""
    online = [word for word in command if word != "--offline"]
    try:
        _time_until_answer(Contender(command[0], online, dict(os.environ)))
        _time_until_answer(Contender(command[0], command, dict(os.environ)))
    except (OSError, RuntimeError):
        return False
    return True


def _time_until_answer(one: Contender) -> float:
    """Milliseconds from before the spawn to the answer."""
    began = time.perf_counter()
    with _answered(one):
        return (time.perf_counter() - began) * 1000


def _memory_beside(one: Contender) -> float | None:
    """MB of all processes from the command to the server, the server itself left out."""
    with _answered(one) as pid:
        sizes = [processes.proportional_memory(number) for number in processes.chain(pid)[:-1]]
    return None if None in sizes else sum(size or 0 for size in sizes) / 1e6


@contextlib.contextmanager
def _answered(one: Contender) -> Iterator[int]:
    """The pid of ``one`` once its server has answered; the server is then ended by the end of its input."""
    null = subprocess.DEVNULL
    with subprocess.Popen(
        one.command, env=one.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=null
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(MESSAGE)
        process.stdin.flush()
        if b'"result"' not in process.stdout.readline():
            raise RuntimeError(f"{one.name} did not answer: {' '.join(one.command)}")
        yield process.pid
        process.stdin.close()


def _print_table(rows: Sequence[Row], runs: int) -> None:
    print(f"until initialize is answered, {runs} runs each, interleaved, milliseconds\n")
    numbers = f"{'median':>8} {'quartiles':>17} {'added':>8} {'ratio':>7} {'beside, MB':>11}"
    print(f"{'server':<12} {'by':<12} {numbers}")
    for row in rows:
        spread, comparison = f"{row.low:.1f} .. {row.high:.1f}", f"{row.added:>8.1f} {row.ratio:>7.2f}"
        memory = "?" if row.memory is None else f"{row.memory:.1f}"
        print(
            f"{row.server:<12} {row.contender:<12} {row.median:>8.1f} {spread:>17} {comparison} {memory:>11}"
        )


if __name__ == "__main__":
    main()
