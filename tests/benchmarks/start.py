"""How long until a server answers, and what it costs while it waits.

``warm``: everything is cached. ``cold``: nothing is; the same files come from one web server on loopback.
``memory``: what stays beside the server. ``stages``: where the time of a warm run goes.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence

from kit import processes
from measure import (
    MESSAGE,
    PATIENCE,
    Contender,
    Scale,
    Spread,
    answered,
    percentile,
    streams,
    take_turns,
    time_until_answer,
)
from peers import BARE, OURS, Found, contenders
from subjects import Subject, World
from table import Table

_ROW = re.compile(r"^ *[\d.]+ +([\d.]+)  (\w+) +(.+)$", re.MULTILINE)
_KEPT = 3
# By then whoever lets go of what its start needed has done so.
_SETTLED = 1.0


def measure_warm(world: World, found: Found, scale: Scale) -> list[Table]:
    """Milliseconds until ``initialize`` is answered."""
    rows = []
    for subject in world.subjects.values():
        racing = contenders(found, world, subject)
        taken = take_turns(
            {name: (lambda one=one: time_until_answer(one)) for name, one in racing.items()}, scale.turns
        )
        rows += compare(subject.name, taken)
    note = (
        "Milliseconds from the spawn until `initialize` is answered, everything cached, "
        f"{scale.turns} turns. "
        "`added` and `ratio` compare with the bare server. `python alone` is an interpreter that only starts "
        "the server and waits, `python, namespaces` one that also makes new namespaces by ctypes."
    )
    columns = ("server", "by", "median", "quartiles", "added", "ratio")
    return [Table("Warm run", note, columns, rows)]


def compare(server: str, taken: Mapping[str, Sequence[float]]) -> list[list[str]]:
    """Rows of milliseconds beside the bare server's."""
    bare = Spread.of(taken[BARE]).median
    rows = []
    for name, values in taken.items():
        spread = Spread.of(values)
        compared = (
            ("-", "-") if name == BARE else (f"{spread.median - bare:.1f}", f"{spread.median / bare:.2f}")
        )
        rows.append([server, name, *spread.cells(), *compared])
    return rows


def measure_cold(world: World, found: Found, scale: Scale) -> list[Table]:
    """Milliseconds from nothing to the answer: fetch, verify, unpack, start."""
    rows = []
    turns = max(3, scale.turns // 4)
    # Installing 3,000 files takes npx many seconds.
    for subject in world.subjects.values():
        if subject.name not in ("Python", "large") or (subject.name == "large" and scale.share < 1):
            continue
        racing = {
            one.name: one
            for one in contenders(found, world, subject).values()
            if one.name in {OURS, "uvx", "npx"}
        }
        shell = _shell(world, subject)
        taken = take_turns(
            {
                shell.name: lambda shell=shell: _time_cold(world, shell),
                **{key: (lambda one=one: _time_cold(world, one)) for key, one in racing.items()},
            },
            turns,
        )
        base = Spread.of(taken[shell.name]).median
        for key, values in taken.items():
            spread = Spread.of(values)
            rows.append([subject.name, key, *spread.cells(), f"{spread.median / base:.2f}"])
    note = (
        f"Milliseconds from an empty cache until `initialize` is answered, {turns} turns. All fetch from "
        f"{world.web_server} on loopback. `curl | tar` keeps nothing and verifies nothing; `uvx` and `npx` "
        "flush nothing to the disk; `mcp run` resolves, verifies, keeps archive and tree, and flushes both."
    )
    return [Table("Cold run", note, ("server", "by", "median", "quartiles", "ratio"), rows)]


def _shell(world: World, subject: Subject) -> Contender:
    inside = [word.replace(subject.tree, "$MCP_HOME") for word in subject.command]
    script = (
        f'set -e; mkdir "$MCP_HOME"; curl -sS {subject.bundle} | tar xz -C "$MCP_HOME"; exec '
        + " ".join(f'"{word}"' for word in inside)
    )
    return Contender("curl | tar", ["bash", "-c", script], {"PATH": world.mcp.env["PATH"]})


def _time_cold(world: World, one: Contender) -> float:
    folder = tempfile.mkdtemp(dir=world.folder)
    caches = {"MCP_HOME": "home", "UV_CACHE_DIR": "uv", "npm_config_cache": "npm"}
    env = {**one.env, **{name: os.path.join(folder, below) for name, below in caches.items()}}
    command = [word for word in one.command if word != "--offline"]
    # What earlier turns left to be written is not this one's.
    os.sync()
    try:
        return time_until_answer(Contender(one.name, command, env))
    finally:
        _remove(folder)


def _remove(folder: str) -> None:
    for parent, _, _ in os.walk(folder):
        os.chmod(parent, 0o755)
    shutil.rmtree(folder)


def measure_memory(world: World, found: Found, scale: Scale) -> list[Table]:
    """MB of all processes that are not the server."""
    rows = []
    for subject in world.subjects.values():
        if subject.name == "large" or (scale.share < 1 and subject.name != "Python"):
            continue
        taken = take_turns(
            {
                peer.name: (
                    lambda name=peer.name, subject=subject: _memory_beside(found, world, subject, name)
                )
                for peer in found.peers
                if peer.name != BARE and peer.name in contenders(found, world, subject)
            },
            _KEPT,
            warm_up=0,
        )
        for by, values in taken.items():
            sizes = [size for size, _ in values if size is not None]
            counts = {count for _, count in values}
            shown = Spread.of(sizes).cells(2) if sizes else ("?", "?")
            rows.append([subject.name, by, *shown, "/".join(map(str, sorted(counts)))])
    note = (
        f"MB that stay while the server waits: the PSS of every process that came with it and is not it, "
        f"{_SETTLED:.0f} s after its answer, {_KEPT} starts. A page shared with others counts by its share, "
        "so what else runs here changes it."
    )
    return [Table("Memory that stays", note, ("server", "by", "median", "quartiles", "processes"), rows)]


def _memory_beside(found: Found, world: World, subject: Subject, name: str) -> tuple[float | None, int]:
    """MB, None when this user may not see it, and how many processes."""
    marker = f"marker={uuid.uuid4().hex}"
    one = contenders(found, world, subject, marker)[name]
    one = one._replace(env={**one.env, processes.MARKER: marker})
    with answered(one) as process:
        time.sleep(_SETTLED)
        beside = _beside(marker, process.pid)
        sizes = [processes.proportional_memory(pid) for pid in beside]
    return (None if None in sizes else sum(size or 0 for size in sizes) / 1e6), len(beside)


def _beside(marker: str, pid: int) -> set[int]:
    """All that came with a run but the server: of those whose arguments have the mark, the innermost."""
    found = processes.carrying(marker)
    everyone = {pid, *found, *(below for one in [pid, *found] for below in _descendants(one))}
    named = {one for one, line in found.items() if marker in line}
    servers = {one for one in named if not named & _descendants(one)}
    return everyone - servers


def _descendants(pid: int) -> set[int]:
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        try:
            with open(f"/proc/{waiting[0]}/task/{waiting.pop(0)}/children", encoding="ascii") as file:
                below = {int(number) for number in file.read().split()}
        except OSError:
            continue
        found |= below
        waiting += below
    return found


def measure_stages(world: World, found: Found, scale: Scale) -> list[Table]:
    """Milliseconds of each stage of a warm run, as it tells them."""
    subject = world.subjects.get("Python") or next(iter(world.subjects.values()))
    command = [*contenders(found, world, subject)[OURS].command[:2], "--timings", subject.reference]
    taken: dict[tuple[str, str], list[float]] = {}
    turns = scale.turns * 2
    for turn in range(turns + 1):
        done = subprocess.run(
            command,
            env=world.mcp.env,
            input=MESSAGE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=False,
            check=True,
            timeout=PATIENCE,
        )
        for took, process, name in _ROW.findall(done.stderr.decode()):
            if turn:
                taken.setdefault((process, name), []).append(float(took))
    rows = [[name, process, *Spread.of(values).cells(2)] for (process, name), values in taken.items()]
    total = sum(Spread.of(values).median for values in taken.values())
    rows.append(["sum of the medians", "", f"{total:.2f}", ""])
    note = (
        f"Milliseconds of each stage of a warm run ({subject.name}), from `mcp run --timings`, "
        f"{turns} runs. The stages of all processes on one clock: each lasts from the end of the one before "
        "it, whoever took it."
    )
    return [Table("Stages of a warm run", note, ("stage", "in", "median", "quartiles"), rows)]


def measure_stdio(world: World, found: Found, scale: Scale) -> list[Table]:
    """Latency of a line there and back, and bytes a second, over the standard streams."""
    if "C" not in world.subjects:
        return []
    subject = world.subjects["C"]
    racing, copying = contenders(found, world, subject), contenders(found, world, subject, "cat")
    turns = max(3, scale.turns // 3)
    lines, megabytes = scale.of(4000), scale.of(512)
    latencies = take_turns(
        {name: (lambda one=one: _round_trips(one, lines)) for name, one in racing.items()}, turns
    )
    speeds = take_turns(
        {name: (lambda one=one: _throughput(one, megabytes)) for name, one in copying.items()}, turns
    )
    bare = Spread.of([percentile(one, 50) for one in latencies[BARE]]).median
    fast = Spread.of(speeds[BARE]).median
    rows = []
    for name, values in latencies.items():
        middle = Spread.of([percentile(one, 50) for one in values])
        slowest = Spread.of([percentile(one, 99) for one in values]).median
        speed = Spread.of(speeds[name])
        rows.append(
            [
                name,
                *middle.cells(),
                f"{slowest:.1f}",
                f"{middle.median / bare:.2f}",
                *speed.cells(2),
                f"{speed.median / fast:.2f}",
            ]
        )
    note = (
        f"A line to the static server and its answer, one after the other: microseconds, medians of {lines} "
        f"in {turns} turns, and the 99th percentile. Then {megabytes} MB through the server and back: GB/s. "
        "The ratios compare with the bare server."
    )
    columns = ("by", "line, us", "quartiles", "99%", "ratio", "GB/s", "quartiles", "ratio")
    return [Table("Standard streams", note, columns, rows)]


def _round_trips(one: Contender, count: int) -> list[float]:
    taken = []
    with answered(one) as process:
        given, answers = (stream.fileno() for stream in streams(process))
        for _ in range(count):
            began = time.perf_counter()
            os.write(given, MESSAGE)
            if not os.read(answers, 4096):
                sys.exit(f"{one.name} has ended")
            taken.append((time.perf_counter() - began) * 1e6)
    return taken


def _throughput(one: Contender, megabytes: int) -> float:
    """GB/s in both directions together; every byte is waited for."""
    size, block = megabytes << 20, bytes(1 << 16)
    with subprocess.Popen(
        one.command, env=one.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        given, taken = (stream.fileno() for stream in streams(process))
        # One block there and back: the start is not measured here.
        os.write(given, b"x")
        os.read(taken, 1)
        writer = os.fork()
        if writer == 0:
            try:
                for _ in range(size // len(block)):
                    rest = memoryview(block)
                    while rest:
                        rest = rest[os.write(given, rest) :]
            finally:
                os._exit(0)
        streams(process)[0].close()
        began, received, buffer = time.perf_counter(), 0, bytearray(1 << 20)
        while received < size and (count := os.readv(taken, [buffer])):
            received += count
        seconds = time.perf_counter() - began
        os.waitpid(writer, 0)
        if received != size:
            sys.exit(f"{one.name} lost {size - received} bytes")
    return size / seconds / 1e9
