"""Many servers at once, many one after the other, and a long audit log."""

import contextlib
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time

from kit import crowd, processes
from kit.command import EXECUTABLE, Mcp
from measure import Scale, Spread, take_turns
from peers import Found
from subjects import World
from table import Table

from mcp_client.audit.log import AuditLog
from mcp_client.config.settings import AuditSettings

_AT_ONCE, _IN_A_ROW, _RECORDS = 50, 500, 1_000_000
_APPENDED = 50_000


def measure_many(world: World, found: Found, scale: Scale) -> list[Table]:
    """Fifty servers started at once and kept; then SIGTERM to all, and what is left."""
    rows = []
    for name, subject in world.subjects.items():
        if name not in {"C", "Python"}:
            continue
        reference = subject.reference
        mcp = Mcp(world.folder, world.url)
        _one(mcp, reference)
        before = crowd.remains(mcp)
        with contextlib.ExitStack() as stack:
            began = time.perf_counter()
            # The marker tells processes of this round from all others.
            everyone = crowd.start_crowd(mcp, _AT_ONCE, "run", reference, "--", mcp.marker)
            for one in everyone:
                stack.enter_context(one)
            answered = sum(b'"result"' in line for line in crowd.answers(everyone))
            seconds = time.perf_counter() - began
            memory = crowd.memory_of_ours(everyone)
            ours = sum(len(processes.chain(one.pid)) - 1 for one in everyone)
            began = time.perf_counter()
            statuses = crowd.terminate(everyone)
            ending = time.perf_counter() - began
        processes.wait_until(lambda marker=mcp.marker: not processes.carrying(marker))
        rows.append(
            [
                name,
                f"{answered}/{_AT_ONCE}",
                f"{seconds:.2f}",
                "?" if memory is None else f"{memory / 1e6:.1f}",
                "?" if memory is None else f"{memory / 1e6 / _AT_ONCE:.2f}",
                str(ours),
                f"{ending:.2f}",
                f"{statuses.count(143)}/{_AT_ONCE}",
                _left(mcp, before),
            ]
        )
    note = (
        f"{_AT_ONCE} servers started at once: how many answer, the seconds until the last has, MB (PSS) "
        "of all our processes together and for each server, how many those are, and the seconds until "
        "all have ended after SIGTERM, with its status 143. `left` counts processes, files, mounts and "
        "cgroups."
    )
    columns = ("server", "answer", "s", "MB", "MB each", "processes", "end, s", "ended so", "left")
    return [Table("Fifty servers at once", note, columns, rows)]


def _left(mcp: Mcp, before: crowd.Remains) -> str:
    after = crowd.remains(mcp)
    several = (
        processes.carrying(mcp.marker),
        set(after.files) - set(before.files),
        after.mounts - before.mounts,
        after.temporary - before.temporary,
        after.groups - before.groups,
    )
    return str(sum(len(one) for one in several))


def measure_row(world: World, found: Found, scale: Scale) -> list[Table]:
    """Five hundred starts one after the other: does anything grow?"""
    reference, mcp = next(iter(world.subjects.values())).reference, world.mcp
    count = scale.of(_IN_A_ROW)
    for _ in range(3):
        _one(mcp, reference)
    before, log = crowd.remains(mcp), _audit_size(mcp)
    tenth = max(1, count // 10)
    taken = [_one(mcp, reference) for _ in range(count - tenth)]
    fresh = Mcp(os.path.join(world.folder, "fresh"), world.url)
    if fresh.run("pull", reference).status:
        sys.exit("a fresh home cannot pull")
    # The machine has other moods by now: only who takes turns can be compared.
    last = take_turns(
        {"used": lambda: _one(mcp, reference), "fresh": lambda: _one(fresh, reference)}, tenth, warm_up=0
    )
    after = crowd.remains(mcp)
    grown = sum(after.files.values()) - sum(before.files.values())
    rows = [
        ["median of the first tenth, ms", f"{statistics.median(taken[:tenth]):.1f}"],
        ["median of the last tenth, ms", f"{statistics.median(last['used']):.1f}"],
        ["in a fresh home, in turns with these, ms", f"{statistics.median(last['fresh']):.1f}"],
        ["files more below the home", str(len(after.files) - len(before.files))],
        ["bytes more in them", str(grown)],
        ["mounts more", str(len(after.mounts) - len(before.mounts))],
        ["temporary files more", str(len(after.temporary) - len(before.temporary))],
        ["cgroups more", str(len(after.groups - before.groups))],
        ["processes left", str(len(processes.carrying(mcp.marker)))],
        ["audit log, bytes a run", f"{(_audit_size(mcp) - log) / count:.0f}"],
    ]
    note = (
        f"{count} starts of the static server one after the other, each to its end. The audit log is to grow."
    )
    return [Table("One start after the other", note, ("what", "value"), rows)]


def _one(mcp: Mcp, reference: str) -> float:
    began = time.perf_counter()
    done = mcp.run("run", reference, given=b"")
    if done.status:
        sys.exit(done.stderr)
    return (time.perf_counter() - began) * 1000


def _audit_size(mcp: Mcp) -> int:
    return os.path.getsize(os.path.join(mcp.home, "audit.log"))


def measure_audit(world: World, found: Found, scale: Scale) -> list[Table]:
    """A log of a million records: does a run notice, is it bounded, how long does it take to verify?"""
    count = scale.of(_RECORDS)
    folder = os.path.join(world.folder, "audit")
    os.makedirs(folder)
    long, bounded = os.path.join(folder, "long"), os.path.join(folder, "bounded")
    _write_log(long, count)
    reference = next(iter(world.subjects.values())).reference
    runs = {}
    for name, file in (("empty", os.path.join(folder, "empty")), ("long", long)):
        config = os.path.join(folder, f"{name}.yaml")
        with open(config, "w", encoding="utf-8") as opened:
            opened.write(f"audit:\n  file: {file}\n  max_size: 100GB\n")
        runs[name] = lambda config=config: _with_config(world.mcp, config, reference)
    taken = take_turns(runs, scale.turns * 2)
    size = os.path.getsize(long)
    checked = _verify(long)
    settings = AuditSettings(bounded)
    log, appended = AuditLog(settings), scale.of(_APPENDED)
    began = time.perf_counter()
    for number in range(appended):
        log.append(_record(number))
    seconds = time.perf_counter() - began
    most = settings.max_size * (settings.keep + 1)
    sizes = [os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder) if "bounded" in name]
    rows = [
        ["warm run, empty log, ms", *Spread.of(taken["empty"]).cells()],
        [f"warm run, {count} records of {size >> 20} MB, ms", *Spread.of(taken["long"]).cells()],
        [f"verify {count} records, s", f"{checked[0]:.1f}", ""],
        ["memory that verifying takes, MB", f"{checked[1]:.0f}", ""],
        [f"append one of {appended}, us", f"{seconds / appended * 1e6:.0f}", ""],
        [f"all files after these, MB (at most {most / 1e6:.0f})", f"{sum(sizes) / 1e6:.1f}", ""],
    ]
    note = "What a long audit log costs, and what bounds it (`audit.max_size`, `audit.keep`)."
    return [Table("Audit log", note, ("what", "value", "quartiles"), rows)]


def _with_config(mcp: Mcp, config: str, reference: str) -> float:
    began = time.perf_counter()
    done = subprocess.run(
        [EXECUTABLE, "--config", config, "run", reference],
        env=mcp.env,
        input=b"",
        capture_output=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr.decode())
    return (time.perf_counter() - began) * 1000


def _record(number: int) -> dict[str, object]:
    return {
        "event": "start",
        "time": "2026-01-01T00:00:00.000Z",
        "run_id": f"{number:032x}",
        "reference": "bench/server@1.0.0",
        "arguments": ["one", "two"],
        "controls": ["x" * 40] * 8,
    }


def _write_log(path: str, count: int) -> None:
    """As AuditLog.append() leaves it, record by record; that would take minutes."""
    last = "null"
    with open(path, "wb") as file:
        for number in range(count):
            body = json.dumps({**_record(number), "prev": None}, separators=(",", ":"))
            line = f"{body.removesuffix('null}')}{last}}}".encode()
            file.write(line + b"\n")
            last = f'"sha256:{hashlib.sha256(line).hexdigest()}"'
    os.chmod(path, 0o600)


def _verify(path: str) -> tuple[float, float]:
    """Seconds, and the peak memory in MB, of a process of its own."""
    script = (
        "import sys; from mcp_client.audit.log import AuditLog; "
        "from mcp_client.config.settings import AuditSettings; "
        "found = AuditLog(AuditSettings(sys.argv[1])).verify(); print(open('/proc/self/status').read()); "
        "sys.exit(bool(found.problems))"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the log that was written does not hold together: {done.stderr}")
    # Not ru_maxrss: that begins with the size of the parent (getrusage(2)).
    peak = next(int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("VmHWM"))
    return time.perf_counter() - began, peak / 1000
