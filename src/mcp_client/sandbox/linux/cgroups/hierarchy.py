"""Where this process stands in the unified hierarchy, and what its files say (cgroups(7))."""

from __future__ import annotations

import os

MOUNT = "/sys/fs/cgroup"
CONTROLLERS = frozenset({"cpu", "memory", "pids"})


def own_group(pid: int | str = "self") -> str | None:
    """The folder of the group that ``pid`` is in; None without a hierarchy of version 2 that shows it."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            return find_group(file.read(), MOUNT)
    except OSError:
        return None


def find_group(membership: str, mount: str) -> str | None:
    """The same from the text of /proc/PID/cgroup, for a hierarchy that is seen at ``mount``.

    A path that leads up belongs to a process outside of our cgroup namespace (cgroup_namespaces(7)).
    """
    lines = membership.split("\n")
    path = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), None)
    if path is None or "/../" in f"{path}/" or not os.path.exists(f"{mount}/cgroup.controllers"):
        return None
    return mount + path.rstrip("/")


def available(group: str) -> frozenset[str]:
    """The controllers that ``group`` itself may limit."""
    return CONTROLLERS & frozenset(read_file(group, "cgroup.controllers").split())


def passed_on(group: str) -> frozenset[str]:
    """The controllers that the groups below ``group`` have."""
    return CONTROLLERS & frozenset(read_file(group, "cgroup.subtree_control").split())


def pass_on(group: str, controllers: frozenset[str]) -> None:
    """Give the groups below ``group`` as many of ``controllers`` as it can; a controller alone may fail."""
    for controller in sorted(controllers & available(group) - passed_on(group)):
        try:
            write_file(group, "cgroup.subtree_control", f"+{controller}")
        except OSError:
            continue


def read_file(group: str, name: str) -> str:
    """The contents of a control file; empty where there is none."""
    try:
        with open(f"{group}/{name}", encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""


def write_file(group: str, name: str, value: str) -> None:
    """Write a control file in one piece. Raises OSError."""
    descriptor = os.open(f"{group}/{name}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)
