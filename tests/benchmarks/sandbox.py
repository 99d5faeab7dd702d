"""What the sandbox itself adds, beside a plain fork and exec, until the first byte of a server.

    .venv/bin/python tests/benchmarks/sandbox.py [--runs N] [--json]

Both start /bin/echo from this process, in turn, with everything imported, so the difference is the set-up:
forks, namespaces, mounts, cgroup, filters and the gate. Times are milliseconds; ``end`` is until the whole
sandbox is gone again.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from typing import NamedTuple

from mcp_client.policy.model import DEFAULT_LIMITS, Policy
from mcp_client.runtimes.command import Command
from mcp_client.sandbox.linux.backend import LinuxBackend

PROGRAM = ("/bin/echo", "here")


class Start(NamedTuple):
    """Milliseconds from before the fork: until the first byte, and until the end."""

    first: float
    end: float


def main() -> None:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        rows = _measure(folder, given.runs)
    bare = rows["fork and exec"]["first"][1]
    if given.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"until the first byte of {PROGRAM[0]}, {given.runs} runs each, interleaved, milliseconds\n")
    print(f"{'by':<26} {'median':>8} {'quartiles':>17} {'added':>8} {'end':>8}")
    for name, row in rows.items():
        low, median, high = row["first"]
        spread = f"{low:.1f} .. {high:.1f}"
        print(f"{name:<26} {median:>8.1f} {spread:>17} {median - bare:>8.1f} {row['end'][1]:>8.1f}")


def _measure(folder: str, runs: int) -> dict[str, dict[str, list[float]]]:
    """Contender -> first, end -> quartiles."""
    contenders = {
        "fork and exec": _fork_and_exec,
        "sandbox": lambda: _launch(folder, subprocess=False),
        "sandbox, subprocess: true": lambda: _launch(folder, subprocess=True),
    }
    taken: dict[str, list[Start]] = {name: [] for name in contenders}
    for turn in range(runs + 1):
        for name, start in contenders.items():
            found = start()
            if turn:  # the first turn compiles the filters and warms the page cache
                taken[name].append(found)
    return {
        name: {
            "first": statistics.quantiles([start.first for start in starts], n=4),
            "end": statistics.quantiles([start.end for start in starts], n=4),
        }
        for name, starts in taken.items()
    }


def _fork_and_exec() -> Start:
    read, write = os.pipe()
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        os.dup2(write, 1)
        os.execv(PROGRAM[0], PROGRAM)
    os.close(write)
    first = _first_byte(read, began)
    os.waitpid(child, 0)
    return Start(first, (time.perf_counter() - began) * 1000)


def _launch(folder: str, *, subprocess: bool) -> Start:
    backend = LinuxBackend(os.path.join(folder, "filters"))
    policy = Policy({}, subprocess, DEFAULT_LIMITS, (), ())
    spec = backend.plan(Command(PROGRAM, (), ()), policy, tree=folder, data=None)
    saved = os.dup(1)
    read, write = os.pipe()
    os.dup2(write, 1)
    os.close(write)
    began = time.perf_counter()
    try:
        process = backend.launch(spec)
        process.await_ready()
        process.release()
    finally:
        os.dup2(saved, 1)
        os.close(saved)
    first = _first_byte(read, began)
    while process.next_event() != "ended":
        pass
    process.collect()
    os.close(process.diagnostics)
    return Start(first, (time.perf_counter() - began) * 1000)


def _first_byte(descriptor: int, began: float) -> float:
    assert os.read(descriptor, 1)
    milliseconds = (time.perf_counter() - began) * 1000
    os.close(descriptor)
    return milliseconds


if __name__ == "__main__":
    main()
