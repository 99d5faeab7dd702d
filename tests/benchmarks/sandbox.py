"""What the sandbox itself adds, beside a plain fork and exec, until the first byte of a server.

Both start /bin/echo from this process, in turn, with everything imported, so the difference is the set-up:
forks, namespaces, mounts, cgroup, filters and the gate. Times are milliseconds; ``end`` is until the whole
sandbox is gone again.
"""

import os
import time
from typing import NamedTuple

from measure import Scale, Spread, take_turns
from peers import Found
from subjects import World
from table import Table

from mcp_client.policy.model import DEFAULT_LIMITS, Policy
from mcp_client.runtimes.command import Command
from mcp_client.sandbox.linux.backend import LinuxBackend

PROGRAM = ("/bin/echo", "here")


class Start(NamedTuple):
    """Milliseconds from before the fork: until the first byte, and until the end."""

    first: float
    end: float


def measure_sandbox(world: World, found: Found, scale: Scale) -> list[Table]:
    """Milliseconds until the first byte."""
    folder = world.folder
    turns = scale.turns * 2
    taken = take_turns(
        {
            "fork and exec": _fork_and_exec,
            "sandbox": lambda: _launch(folder, subprocess=False),
            "sandbox, subprocess: true": lambda: _launch(folder, subprocess=True),
        },
        turns,
    )
    bare = Spread.of([one.first for one in taken["fork and exec"]]).median
    rows = []
    for name, starts in taken.items():
        first, end = Spread.of([one.first for one in starts]), Spread.of([one.end for one in starts])
        rows.append([name, *first.cells(), f"{first.median - bare:.1f}", f"{end.median:.1f}"])
    note = (
        f"Milliseconds until the first byte of {PROGRAM[0]}, started from a process that has everything "
        f"imported, {turns} turns; `end` is until the whole sandbox is gone."
    )
    return [Table("The sandbox alone", note, ("by", "median", "quartiles", "added", "end"), rows)]


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
