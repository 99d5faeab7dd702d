"""What holds for one server on this host: every control by name, how far, by what, and what would mend it."""

from __future__ import annotations

from mcp_client.light import TYPE_CHECKING, NamedTuple
from mcp_client.sandbox.spec import Control

if TYPE_CHECKING:
    from mcp_client.policy.model import Limits
    from mcp_client.sandbox.spec import SandboxSpec


class Obtained(NamedTuple):
    """What the host gave: the version of Landlock (0: none), the gate, and the cgroup's controllers.

    ``group`` names the cgroup, or says why there is none; ``group_mend`` is then what mends it. ``observed``
    when init may look at what its children ask the kernel for.
    """

    landlock: int
    gate: bool
    controllers: frozenset[str]
    group: str
    group_mend: str | None
    observed: bool = True


# Control: what is requested, and by what it is enforced. The start fails when one of them does.
WALLS = {
    "identity": ("unprivileged", "user namespace with one unprivileged id"),
    "privileges": ("none", "no capabilities, no_new_privs, no further user namespace"),
    "filesystem": ("allow-listed", "own read-only root in a mount namespace"),
    "process-isolation": ("own view", "pid and ipc namespaces, fresh /proc"),
    "network": ("none", "empty network namespace"),
    "system-calls": ("allow-listed", "seccomp"),
    "descriptors": ("0 to 2", "all others closed, standard error through a pipe"),
}

_PTRACE_SCOPE = "/proc/sys/kernel/yama/ptrace_scope"
_FOR_ADMINISTRATORS = 2
# What is requested of "network" instead, where any host is allowed.
ALLOWLIST = "allow-listed"


def list_controls(spec: SandboxSpec, obtained: Obtained) -> tuple[Control, ...]:
    """The report for a server in its own namespaces."""
    walls = {name: Control(name, requested, "enforced", by) for name, (requested, by) in WALLS.items()}
    if spec.way is not None:
        walls["network"] = _allowlist(obtained)
    if spec.port is not None:
        by = f"{walls['network'].mechanism}; connections come in at port {spec.port}"
        walls["network"] = walls["network"]._replace(mechanism=by)
    return (
        *walls.values(),
        landlock_control(obtained.landlock),
        subprocess_control(obtained.gate, subprocess=spec.subprocess),
        *limit_controls(spec.limits, obtained, subprocess=spec.subprocess),
    )


def _allowlist(obtained: Obtained) -> Control:
    by, mend = "empty network namespace; nothing can be reached", _LISTENER_MEND
    if not obtained.gate:
        by += ", since an outer supervisor holds the only listener"
    elif not obtained.observed:
        by += ", since init may not look at what is asked for"
        mend = "sudo sysctl -w kernel.yama.ptrace_scope=1"
    else:
        by = "empty network namespace; outside of it each connection is decided by name and address"
        return Control("network", ALLOWLIST, "enforced", by)
    return Control("network", ALLOWLIST, "unavailable", by, mend)


def may_observe_children() -> bool:
    """False where only an administrator may (ptrace(2), "ptrace_scope")."""
    try:
        with open(_PTRACE_SCOPE, "rb") as file:
            return int(file.read()) < _FOR_ADMINISTRATORS
    except OSError:
        # Without Yama, a child with the same user may be looked at.
        return True


def landlock_control(version: int) -> Control:
    """The second layer around files."""
    if version:
        return Control(
            "landlock", "second layer", "enforced", f"nothing outside the root, interface {version}"
        )
    mend = "use a kernel of 5.13 or later with Landlock in CONFIG_LSM (boot parameter lsm=landlock,...)"
    return Control("landlock", "second layer", "unavailable", "this kernel has none", mend)


def subprocess_control(gate: bool, *, subprocess: bool) -> Control:
    """Whether the server may start processes and programs."""
    if subprocess:
        return Control("subprocess", "allowed", "enforced", "children live inside the same walls")
    if gate:
        return Control("subprocess", "none", "enforced", "seccomp: no fork, one execve")
    by = "seccomp: no fork; but execve, since an outer supervisor holds the only listener"
    return Control("subprocess", "none", "degraded", by, _LISTENER_MEND)


_LISTENER_MEND = "run mcp outside of the container or sandbox that intercepts its system calls"


def limit_controls(limits: Limits, obtained: Obtained, *, subprocess: bool) -> tuple[Control, ...]:
    """Files, processes, memory and cpu."""
    memory, cores = f"{limits.memory >> 20} MB", f"{limits.cpu} millicores"
    return (
        Control("files", f"{limits.files} per process", "enforced", "RLIMIT_NOFILE"),
        _processes(limits, obtained, subprocess=subprocess),
        _held("memory", memory, "polled by init, RLIMIT_DATA", obtained),
        _held("cpu", cores, "polled by init, stop and go", obtained),
    )


def _processes(limits: Limits, obtained: Obtained, *, subprocess: bool) -> Control:
    if not subprocess:
        return Control("processes", "1", "enforced", "seccomp: no fork")
    requested = str(limits.processes)
    if obtained.gate:
        return Control("processes", requested, "enforced", "counted at each fork, threads are free")
    by = "RLIMIT_NPROC: threads count too, and more of both may exist"
    return Control("processes", requested, "degraded", by, _LISTENER_MEND)


def _held(controller: str, requested: str, fallback: str, obtained: Obtained) -> Control:
    if controller in obtained.controllers:
        return Control(controller, requested, "enforced", obtained.group)
    why = f"the {controller} controller is not delegated" if obtained.controllers else obtained.group
    mend = obtained.group_mend or "let systemd delegate it: Delegate=yes for user@.service"
    return Control(controller, requested, "degraded", f"{fallback} ({why})", mend)
