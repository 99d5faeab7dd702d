"""What runs and what is mounted, as this process sees it."""

import os
from collections.abc import Iterator

# Index into stat_of().
STATE = 0


def descendants(root: int) -> Iterator[int]:
    """Children, their children and so on, the eldest first."""
    parents = {int(name): int(stat_of(int(name))[1]) for name in os.listdir("/proc") if name.isdigit()}
    known = [root]
    for parent in known:
        found = sorted(pid for pid, its in parents.items() if its == parent and pid not in known)
        known += found
        yield from found


def stat_of(pid: int) -> list[str]:
    """State, parent and all that follows (proc_pid_stat(5)); ``X`` when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return ["X", "0"]


def command_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
            return f"{pid} {stat_of(pid)[STATE]} {file.read()[:200]}"
    except OSError:
        return str(pid)


def groups_of(pid: int) -> list[str]:
    """Folders of a process's cgroup v2."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    return [f"/sys/fs/cgroup{line[3:]}" for line in lines if line.startswith("0::") and line != "0::/"]


def mount_table() -> set[str]:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return set(file.read().splitlines())


def numbers_of(pid: int) -> list[str]:
    """Its pid in each namespace that it is in, the outermost first."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return next(line.split()[1:] for line in file if line.startswith("NSpid:"))
