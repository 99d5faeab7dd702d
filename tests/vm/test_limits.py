"""Limits that the kernel keeps, for an ordinary user: cgroups v2 in a scope of the user's systemd.

These run in the virtual machine (``make test-vm``); a host without cgroups v2 fails here, it does not skip.
"""

import glob
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from kit.bundle import manifest_form, pack_files, package
from kit.command import Mcp
from kit.registry import Registry

GROUPS = "/sys/fs/cgroup/**/mcp-*"
MIB = 1 << 20


@pytest.fixture(autouse=True)
def nothing_remains():
    """No scope or group of ours is left once a test is over, whatever happened in it."""
    yield
    deadline = time.monotonic() + 30
    while glob.glob(GROUPS, recursive=True) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert glob.glob(GROUPS, recursive=True) == []


def publish(registry: Registry, program: str, **fields: object) -> str:
    form = manifest_form("test/limits@1.0.0", "python3", "-I", "${bundle}/main.py", **fields)
    registry.publish(package(form, pack_files({"main.py": program})))
    return "test/limits@1.0.0"


def records(mcp: Mcp) -> list[dict[str, object]]:
    """Those of the run itself; what is compiled beside it has its own."""
    with open(os.path.join(mcp.home, "audit.log"), encoding="utf-8") as log:
        return [record for line in log if (record := json.loads(line))["event"] != "compile"]


def run(mcp: Mcp, registry: Registry, program: str, **fields: object):
    """The run's result, its start record and its end record."""
    result = mcp.run("run", publish(registry, program, **fields), seconds=200)
    start, end = records(mcp)
    for control in ("memory", "cpu", "processes", "subprocess"):
        assert start["enforcement"][control] == "enforced", start
    return result, start, end


HOG = """
import os
held = []
for touched in range(2048):
    held.append(b"x" * (1 << 20))
    os.write(1, b"%d\\n" % (touched + 1))
"""


def test_512_mb_are_512_mb(mcp: Mcp, registry: Registry) -> None:
    result, _, end = run(mcp, registry, HOG, resources={"memory_mb": 512})
    assert result.status == 137
    assert "killed: memory limit 512 MB" in result.stderr
    touched = int(result.stdout.split()[-1])
    assert 512 * 0.95 <= touched <= 512 * 1.05
    assert (end["outcome"], end["signal"]) == ("oom", 9)
    assert 512 * MIB * 0.95 <= end["peak_memory_bytes"] <= 512 * MIB * 1.05


HUNGRY_CHILD = """
import os, time
if os.fork() == 0:
    held = bytearray(os.urandom(1 << 20) * 400)
print("alive", flush=True)
time.sleep(120)
"""


def test_a_child_over_the_limit_is_the_end_of_all(mcp: Mcp, registry: Registry) -> None:
    result, _, end = run(mcp, registry, HUNGRY_CHILD, subprocess=True, resources={"memory_mb": 256})
    assert result.status == 137
    assert "killed: memory limit 256 MB" in result.stderr
    assert end["outcome"] == "oom"


FULL_SCRATCH = """
for path in ("/tmp/x", "/dev/shm/x"):
    with open(path, "wb", 0) as file:
        try:
            while True:
                file.write(b"x" * (1 << 20))
        except OSError:
            pass
kept = []
write = lambda data: kept.append(data + b"y")
"""
# What an rlimit on one process's own memory does not count.
SHARED = {
    "memory file": "descriptor = os.memfd_create('x')\nwrite = lambda data: os.write(descriptor, data)",
    "scratch": FULL_SCRATCH,
    "shared mapping": "memory = mmap.mmap(-1, 512 << 20)\nwrite = memory.write",
}


@pytest.mark.parametrize("kind", SHARED)
def test_shared_memory_counts(kind: str, mcp: Mcp, registry: Registry) -> None:
    program = f"import mmap, os\n{SHARED[kind]}\nwhile True:\n    write(b'x' * (1 << 20))\n"
    result, _, end = run(mcp, registry, program, resources={"memory_mb": 128})
    assert result.status == 137, result
    assert end["outcome"] == "oom"
    assert end["peak_memory_bytes"] <= 128 * MIB * 1.05


SPINNER = """
import os, time
for _ in range(int(os.environ.get("CHILDREN", "0"))):
    os.fork()
began, used = time.monotonic(), time.process_time()
while time.monotonic() - began < 4:
    pass
print((time.process_time() - used) / (time.monotonic() - began))
"""


def test_250_millicores_are_a_quarter_of_a_core(mcp: Mcp, registry: Registry) -> None:
    resources = {"cpu_millicores": 250, "memory_mb": 256}
    began = time.monotonic()
    result, _, end = run(mcp, registry, SPINNER, resources=resources)
    taken = time.monotonic() - began
    assert result.status == 0, result
    assert 0.20 <= float(result.stdout) <= 0.30
    assert end["cpu_seconds"] / end["duration_seconds"] >= 0.20
    # What init builds in the group, before the server's own time begins, counts as well.
    assert end["cpu_seconds"] / taken <= 0.30


def test_the_share_is_that_of_all_processes(mcp: Mcp, registry: Registry) -> None:
    resources = {"cpu_millicores": 500, "memory_mb": 256, "max_processes": 8}
    env = {"CHILDREN": "2"}
    began = time.monotonic()
    result, _, end = run(mcp, registry, SPINNER, subprocess=True, resources=resources, env=env)
    taken = time.monotonic() - began
    assert result.status == 0, result
    assert end["cpu_seconds"] / taken <= 0.60


BOMB = """
import os, threading, time
def explode():
    while True:
        try:
            if os.fork() == 0:
                explode()
        except OSError:
            time.sleep(0.001)
for _ in range(3):
    threading.Thread(target=explode, daemon=True).start()
most, until = 0, time.monotonic() + 5
while time.monotonic() < until:
    most = max(most, sum(name.isdigit() for name in os.listdir("/proc")) - 1)
    time.sleep(0.01)
os.write(1, b"%d\\n" % most)
os._exit(0)
"""


def test_a_fork_bomb_is_held_at_its_limit_and_reaped(mcp: Mcp, registry: Registry) -> None:
    resources = {"max_processes": 10, "memory_mb": 512}
    result, start, end = run(mcp, registry, BOMB, subprocess=True, resources=resources)
    assert result.status == 0, result
    # Those of the end are gone with the sandbox, which the fixture of mcp asserts.
    assert int(result.stdout) == 10
    assert "the server tried to start more than its 10 processes" in result.stderr
    assert end["refused_starts"] > 0
    assert start["requested"]["processes"] == "10"


THREADS = """
import threading
told = threading.Event()
held = [threading.Thread(target=told.wait) for _ in range(200)]
for thread in held:
    thread.start()
print(threading.active_count())
told.set()
"""


def test_threads_are_no_processes(mcp: Mcp, registry: Registry) -> None:
    resources = {"max_processes": 1, "memory_mb": 512}
    result, _, _ = run(mcp, registry, THREADS, resources=resources)
    assert result.stdout == b"201\n", result


WAITING = """
import os, time
if os.fork() == 0:
    os.setsid()
print("ready", flush=True)
time.sleep(300)
"""


def test_a_killed_mcp_leaves_no_group_and_no_process(mcp: Mcp, registry: Registry) -> None:
    reference = publish(registry, WAITING, subprocess=True)
    with mcp.start("run", reference) as process:
        assert process.stdout.readline() == b"ready\n"
        assert glob.glob(GROUPS, recursive=True)
        os.kill(process.pid, signal.SIGKILL)


def test_plan_doctor_and_record_name_the_cgroup(mcp: Mcp, registry: Registry) -> None:
    reference = publish(registry, "print('here')")
    assert mcp.run("run", reference).status == 0
    start, _ = records(mcp)
    for command in (("run", "--dry-run", "--json", reference), ("doctor", "--json")):
        controls = json.loads(mcp.run(*command, seconds=200).stdout)["result"]["controls"]
        found = {control["name"]: control for control in controls}
        for name in ("memory", "cpu"):
            assert found[name]["state"] == start["enforcement"][name] == "enforced"
            assert found[name]["mechanism"] == start["mechanisms"][name] == "cgroup in a systemd scope"


NO_BUS = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
uid, gid = os.getuid(), os.getgid()
assert libc.unshare(0x10000000 | 0x00020000) == 0
for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
    with open(f"/proc/self/{name}", "w") as file:
        file.write(text)
assert libc.mount(b"none", f"/run/user/{uid}".encode(), b"tmpfs", 0, None) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_a_delegated_group_serves_without_a_bus(mcp: Mcp, registry: Registry) -> None:
    reference = publish(registry, HOG, resources={"memory_mb": 128})
    delegated = ("systemd-run", "--user", "--scope", "--quiet", "--property=Delegate=yes", "--")
    hidden = (*delegated, sys.executable, "-c", NO_BUS)
    environment = {"XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}"}
    result = mcp.run("run", reference, prefix=hidden, env=environment, seconds=200)
    start, end = records(mcp)
    assert start["mechanisms"]["memory"] == "own cgroup"
    assert result.status == 137, result
    assert end["outcome"] == "oom"


def test_without_bus_and_delegation_the_record_says_degraded(mcp: Mcp, registry: Registry) -> None:
    reference = publish(registry, "print('here')")
    hidden = (sys.executable, "-c", NO_BUS)
    result = mcp.run("run", reference, prefix=hidden, seconds=200)
    assert result.status == 0, result
    start, _ = records(mcp)
    assert start["enforcement"]["memory"] == start["enforcement"]["cpu"] == "degraded"
    assert "no cgroup is delegated to this user" in start["mechanisms"]["memory"]
    assert start["degraded"] is True


def test_the_session_of_these_tests_is_an_ordinary_users() -> None:
    assert os.getuid() == 1000
    assert subprocess.run(["systemctl", "--user", "is-system-running"], check=False).returncode >= 0
    with open("/proc/self/status", encoding="utf-8") as file:
        assert "CapEff:\t0000000000000000\n" in file.read()
