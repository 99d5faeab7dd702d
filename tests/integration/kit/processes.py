"""What is running, mounted and lying about, seen from the outside."""

import os
import time
from collections.abc import Callable

MARKER = "MCP_TEST_MARKER"


def carrying(marker: str) -> dict[int, str]:
    """Processes whose command line or environment holds ``marker``, zombies left out: pid to command line.

    Whatever ``mcp`` forks keeps its environment, and the server's command line holds what stands after
    ``--``, so nothing that descends from a marked run is missed unless it hides from both.
    """
    wanted = marker.encode()
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        line = _read(f"/proc/{name}/cmdline")
        if line and (wanted in line or wanted in _read(f"/proc/{name}/environ")):
            found[int(name)] = line.replace(b"\0", b" ").decode(errors="replace")
    return found


def chain(pid: int) -> list[int]:
    """``pid``, its child, the child of that and so on: the server comes last."""
    pids = [pid]
    while children := _read(f"/proc/{pids[-1]}/task/{pids[-1]}/children").split():
        pids.append(int(children[0]))
    return pids


def proportional_memory(pid: int) -> int | None:
    """PSS in bytes: what is shared counts by its share. None when the process hides it from this user."""
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return None


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Poll ``condition`` until it holds; False when it never did."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def assert_gone(marker: str, seconds: float = 10.0) -> None:
    """Nothing that carries ``marker`` runs any more, at the latest after ``seconds``."""
    if not wait_until(lambda: not carrying(marker), seconds):
        raise AssertionError(f"still running: {carrying(marker)}")


def mounts() -> set[str]:
    """Every line of this mount namespace's table."""
    return set(_read("/proc/self/mountinfo").decode(errors="replace").splitlines())


def temporary_entries() -> set[str]:
    """Entries of the system's temporary folders that could be ours by their name."""
    return {
        os.path.join(folder, name)
        for folder in ("/tmp", "/var/tmp", "/dev/shm")
        for name in os.listdir(folder)
        if "mcp" in name.lower()
    }


def files_below(folder: str) -> list[str]:
    """Every path below ``folder``; empty when there is none."""
    return sorted(
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, folders, files in os.walk(folder)
        for name in [*folders, *files]
    )


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as opened:
            return opened.read()
    except OSError:
        return b""
