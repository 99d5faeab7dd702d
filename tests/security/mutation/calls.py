"""Rows of the table: Landlock, system call filters and the gate."""

from collections.abc import Iterator
from typing import Any

import pyseccomp

from mcp_client.sandbox.linux import gate, landlock, seccomp, syscalls
from mutation.patches import (
    Patch,
    allowing_call,
    allowing_program,
    replaced,
    silenced,
    without_restrictions,
)

Row = tuple[str, str, Patch, str, str]

_NAMESPACES = {
    "mount": 0x20000,
    "cgroup": 0x2000000,
    "uts": 0x4000000,
    "ipc": 0x8000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}
_MODES = "chmod fchmod fchmodat fchmodat2 mkdir mkdirat mknod mknodat creat open openat".split()
_KEEPER = "prlimit64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler".split()


def rows() -> Iterator[Row]:
    """All of this module."""
    yield from _landlock()
    yield from _calls()
    yield from _arguments()
    yield from _gate()


def _landlock() -> Iterator[Row]:
    whole = silenced(landlock, "restrict_to_root")
    yield "landlock", "the second layer", whole, "test_descriptors.py", "open-again"
    scopes = replaced(landlock, "_ABSTRACT_SOCKETS_AND_SIGNALS", 0)
    yield "landlock-scopes", "signals stay below the server", scopes, "test_reach_of_processes.py", "init"


def _other_abi_allowed(default: int) -> pyseccomp.SyscallFilter:
    program = pyseccomp.SyscallFilter(default)
    program.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.ALLOW)
    return program


def _calls() -> Iterator[Row]:
    kernel, own, abi = "test_kernel.py", "test_forbidden_arguments.py", "test_system_calls.py"
    yield "seccomp-calls", "the allowlist", allowing_program("calls"), kernel, "does_not_exist"
    yield "seccomp-arguments", "refused arguments", allowing_program("arguments"), kernel, "typed"
    yield "seccomp-sockets", "ioctls of foreign sockets", allowing_program("sockets"), own, "interface"
    yield "seccomp-gate", "init is asked", allowing_program("gate"), "test_gate.py", "execve-again"
    for name, flag in _NAMESPACES.items():
        flags = replaced(syscalls, "CLONE_NAMESPACES", syscalls.CLONE_NAMESPACES & ~flag)
        yield f"clone-{name}", f"clone makes no {name} namespace", flags, own, "clone"
    parent = replaced(syscalls, "CLONE_PARENT", 0)
    yield "clone-parent", "nobody becomes init's child", parent, abi, "child-of-init"
    yield "socket-families", "three families", allowing_call("socket"), kernel, "family"
    pairs = allowing_call("socketpair")
    yield "socketpair-families", "pairs of one family", pairs, own, "pair"
    protocols = replaced(seccomp, "_add_sockets", _any_netlink)
    yield "netlink", "routes only", protocols, kernel, "netlink"
    yield "personality", "randomisation stays", allowing_call("personality"), kernel, "randomisation"
    yield "x32", "x32 does not exist", silenced(seccomp, "_unknown_x32", b""), abi, "x32"
    foreign = replaced(seccomp, "_new_filter", _other_abi_allowed)
    yield "other-abi", "int 0x80 is deadly", foreign, f"{kernel} {abi}", "32_bit or 0x80 or compatib"


def _any_netlink(program: Any) -> None:
    for family in (*syscalls.SOCKET_FAMILIES, syscalls.AF_NETLINK):
        program.add_rule(pyseccomp.ALLOW, "socket", seccomp._masked(0, 0xFFFFFFFF, family))
    program.add_rule(pyseccomp.ALLOW, "socketpair", seccomp._masked(0, 0xFFFFFFFF, syscalls.AF_UNIX))


def _arguments() -> Iterator[Row]:
    own, everything = "test_forbidden_arguments.py", 0xFFFFFFFF
    for call in _MODES:
        if seccomp._known(call):
            yield (
                f"modes-{call}",
                f"no setuid bit by {call}",
                without_restrictions(call),
                own,
                f"setuid and {call}",
            )
    for name, request in {"TIOCSTI": 0x5412, "TIOCLINUX": 0x541C, "TIOCSETD": 0x5423}.items():
        left = without_restrictions("ioctl", (1, everything, request))
        yield name.lower(), f"no {name}", left, "test_kernel.py", f"typed and {name}"
    listener = without_restrictions("seccomp")
    yield "listener", "no second listener", listener, "test_kernel.py test_system_calls.py", "listener"
    keeper = "test_reach_of_processes.py"
    for call in _KEEPER:
        yield f"keeper-{call}", f"{call} on init", without_restrictions(call), keeper, "init"
    for call, one, everyone in (("setpriority", 0, 2), ("ioprio_set", 1, 3)):
        for name, which in (("init", one), ("everyone", everyone)):
            left = without_restrictions(call, (0, everything, which))
            yield (
                f"keeper-{call}-{name}",
                f"{call} on {name}",
                left,
                f"{keeper} {own}",
                "init or user or disk",
            )


def _gate() -> Iterator[Row]:
    def let_through(self: Any, caller: int, *_more: int) -> None:
        self._let_through(caller)

    tests = "test_gate.py"
    compiled = seccomp._allowed_calls

    def forking(*, subprocess: bool, restricted: bool) -> Any:
        return compiled(subprocess=True, restricted=restricted)

    alone = replaced(seccomp, "_allowed_calls", forking)
    yield "forks", "no process without subprocesses", alone, "test_processes.py", "stays_alone"
    programs = replaced(gate.Gatekeeper, "_decide_program", let_through)
    yield "gate-programs", "one program", programs, tests, "execve-again"
    processes = replaced(gate.Gatekeeper, "_decide_process", let_through)
    yield "gate-processes", "counted processes", processes, tests, "counted and clones"
    yield (
        "gate-patience",
        "who asks too often is not heard",
        replaced(gate, "_PATIENCE", 1 << 40),
        "test_limits.py",
        "often",
    )
