"""What holds for one server on macOS, in the words of the other platforms.

A control without a mend is one that macOS never offers: it is told and recorded, and stops no run.
"""

import os

from mcp_client.sandbox.spec import Control, SandboxSpec

_SEATBELT = "Seatbelt"


def list_controls(spec: SandboxSpec, *, proxy: int | None) -> tuple[Control, ...]:
    """The report for a server whose profile was tried; ``proxy`` is the port of the way out."""
    return (
        _identity(),
        Control(
            "privileges", "none", "enforced", f"{_SEATBELT}: no set-id programs, no privileged operations"
        ),
        Control(
            "filesystem", "allow-listed", "enforced", f"{_SEATBELT}: deny by default, tried before each run"
        ),
        Control(
            "process-isolation",
            "own view",
            "enforced",
            f"{_SEATBELT}: no view into other programs, no signals to them, five system services",
        ),
        _network(spec, proxy),
        *_listening(spec),
        Control(
            "system-calls",
            "allow-listed",
            "degraded",
            f"{_SEATBELT} decides about what they do (drivers, services, mounts), not about the calls",
        ),
        Control("descriptors", "0 to 2", "enforced", "all others closed, standard error through a pipe"),
        _subprocess(spec),
        *_limits(spec),
    )


def _identity() -> Control:
    if os.geteuid() == 0:
        by = "root on the host itself"
        mend = "run mcp as an ordinary user"
        return Control("identity", "unprivileged", "degraded", by, mend)
    return Control("identity", "unprivileged", "enforced", f"user {os.geteuid()}, within {_SEATBELT}'s walls")


def _network(spec: SandboxSpec, proxy: int | None) -> Control:
    if spec.way is None or proxy is None:
        return Control("network", "none", "enforced", f"{_SEATBELT}: nothing to connect to, no name service")
    by = (
        f"{_SEATBELT}: only our proxy on loopback, which decides about each connection by name and address; "
        "programs that use no proxy reach nothing"
    )
    return Control("network", "allow-listed", "enforced", by)


def _listening(spec: SandboxSpec) -> "tuple[Control, ...]":
    if spec.port is None:
        return ()
    by = f"port {spec.port} of this machine's loopback: every program here can connect to it"
    return (Control("listening", "for mcp alone", "degraded", by),)


def _subprocess(spec: SandboxSpec) -> Control:
    if spec.subprocess:
        by = f"children live inside the same walls, known by their ancestry and by {_SEATBELT}"
        return Control("subprocess", "allowed", "enforced", by)
    by = f"{_SEATBELT}: no fork, no program but its own"
    return Control("subprocess", "none", "enforced", by)


def _limits(spec: SandboxSpec) -> "tuple[Control, ...]":
    limits = spec.limits
    files = Control("files", f"{limits.files} per process", "enforced", "RLIMIT_NOFILE")
    memory = Control(
        "memory", f"{limits.memory >> 20} MB", "degraded", "footprints are polled, ended above it"
    )
    cpu = Control("cpu", f"{limits.cpu} millicores", "degraded", "polled, stop and go")
    if not spec.subprocess:
        processes = Control("processes", "1", "enforced", f"{_SEATBELT}: no fork")
    else:
        by = "polled, ended above it; RLIMIT_NPROC of the user bounds a flood"
        processes = Control("processes", str(limits.processes), "degraded", by)
    return files, processes, memory, cpu
