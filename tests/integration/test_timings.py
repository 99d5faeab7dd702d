"""``mcp run --timings``: how long each stage took, for whoever asks and at nobody else's cost."""

import json
import os
import re
import socket
import sys
import time

from kit import processes, programs
from kit.command import EXECUTABLE, Mcp
from kit.registry import Registry

REFERENCE = programs.single().reference
ROW = re.compile(r"^ *([\d.]+) +([\d.]+)  (\w+) +(.+)$", re.MULTILINE)
# In the order in which they have to come; others may stand between. The sandbox is begun before the rest.
WARM = (
    ("mcp", "interpreter start (processor time)"),
    ("mcp", "imports"),
    ("mcp", "configuration"),
    ("mcp", "look-up in the cache"),
    ("mcp", "policy"),
    ("mcp", "layout of the sandbox"),
    ("mcp", "audit record"),
    ("mcp", "exec"),
    ("mcp", "first byte on standard output"),
)
BESIDE = (
    ("porter", "create namespaces"),
    ("init", "build the root"),
    ("init", "drop privileges"),
    ("server", "load the system call filter"),
    ("mcp", "exec"),
)
COLD = ("configuration", "resolve", "manifest", "rest of unpacking, and flush", "look-up in the cache")


def stages(report: str) -> list[tuple[float, float, str, str]]:
    """At, took, process and name of each row."""
    assert "mcp: timings, milliseconds\n" in report, report
    return [(float(row[1]), float(row[2]), row[3], row[4]) for row in ROW.finditer(report)]


def names_of(report: str) -> list[tuple[str, str]]:
    """Process and name of each row."""
    return [(process, name) for _, _, process, name in stages(report)]


def in_order(wanted: object, found: object) -> bool:
    rest = iter(found)  # type: ignore[call-overload]
    return all(one in rest for one in wanted)  # type: ignore[attr-defined]


def test_a_warm_run_tells_every_stage(warm: Mcp) -> None:
    result = warm.run("run", "--timings", REFERENCE, "--", "hello", given=b"x\n")
    assert result.status == 0, result.stderr
    assert result.stdout.count(b"\n") == 1
    found = stages(result.stderr)
    assert in_order(WARM, names_of(result.stderr)), result.stderr
    assert in_order(BESIDE, names_of(result.stderr)), result.stderr
    assert [at for at, _, _, _ in found] == sorted(at for at, _, _, _ in found)
    assert abs(sum(took for _, took, _, _ in found) - found[-1][0]) < 0.01 * len(found)


def test_the_first_byte_is_that_of_the_server(warm: Mcp) -> None:
    """It answers only after a line, which comes a while after its exec."""
    record = os.path.join(warm.home, "audit.log")
    with open(record, "a+b") as log, warm.start("run", "--timings", REFERENCE, "--", "hello") as process:
        before = os.fstat(log.fileno()).st_size
        assert processes.wait_until(lambda: os.path.getsize(record) > before, 60)
        time.sleep(0.3)
        _, said = process.communicate(b"x\n", timeout=60)
    *_, last = stages(said.decode())
    assert last[3] == "first byte on standard output"
    assert last[1] > 100


def test_a_server_that_writes_nothing_has_no_first_byte(warm: Mcp) -> None:
    result = warm.run("run", "--timings", REFERENCE, "--", "leave", "3")
    assert result.status == 3
    assert stages(result.stderr)[-1][3] == "exec"


def test_the_first_byte_is_seen_on_a_socket_and_in_a_file(warm: Mcp) -> None:
    ours, theirs = socket.socketpair()
    with open(os.path.join(warm.folder, "out"), "w+b") as file, ours, theirs:
        for output in (theirs, file):
            with warm.start("run", "--timings", REFERENCE, "--", "hello", stdout=output) as process:
                _, said = process.communicate(b"x\n", timeout=60)
            assert process.returncode == 0, said
            assert stages(said.decode())[-1][3] == "first byte on standard output"


def test_a_cold_run_tells_of_the_download(mcp: Mcp, registry: Registry) -> None:
    registry.publish(programs.single())
    result = mcp.run("run", "--timings", REFERENCE, "--", "leave", "3")
    assert result.status == 3, result.stderr
    names = [name for _, _, _, name in stages(result.stderr)]
    assert in_order(COLD, names), names
    assert "download while unpacking" in names


def test_a_failure_tells_how_far_it_came(mcp: Mcp) -> None:
    result = mcp.run("run", "--timings", REFERENCE)
    assert result.code == "package-not-found"
    assert [name for process, name in names_of(result.stderr) if process == "mcp"][-1] == "configuration"


def test_json_logs_stay_json(warm: Mcp) -> None:
    path = os.path.join(warm.folder, "json.yaml")
    with open(path, "w") as file:
        file.write("log:\n  format: json\n")
    result = warm.run("--config", path, "run", "--timings", REFERENCE, "--", "leave", "3")
    assert result.status == 3
    rows = [json.loads(line) for line in result.stderr.splitlines()]
    assert {row["event"] for row in rows} == {"timings"}
    assert in_order(WARM[:-1], [(row["process"], row["name"]) for row in rows])
    assert abs(sum(row["took"] for row in rows) - rows[-1]["at"]) < 1e-6


def test_a_line_that_click_reads_is_timed_too(warm: Mcp) -> None:
    result = warm.run("run", "--timings", "--json", REFERENCE, "--", "leave", "3")
    assert result.status == 3, result.stderr
    assert in_order(WARM[:-1], names_of(result.stderr))


def test_nothing_is_told_or_imported_without_being_asked(warm: Mcp) -> None:
    """A word of the server's own does not ask for it."""

    def imports(*words: str) -> set[str]:
        done = warm.run(*words, prefix=[sys.executable, "-X", "importtime"])
        assert done.status == 3, done.stderr
        assert ("timings, milliseconds" in done.stderr) is ("--timings" in words)
        return set(re.findall(r"\|\s+([\w.]+)$", done.stderr, re.MULTILINE))

    assert os.path.exists(EXECUTABLE)
    asked = imports("run", "--timings", REFERENCE, "--", "leave", "3")
    assert {"mmap", "mcp_client.timings"} <= asked
    assert not {"mmap", "mcp_client.timings"} & imports("run", REFERENCE, "--", "leave", "3")
