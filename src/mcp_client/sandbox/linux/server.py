"""The last steps before the server's first instruction, taken in its own process."""

from __future__ import annotations

import errno
import os
import resource
import stat
import sys

from mcp_client.light import TYPE_CHECKING, signal
from mcp_client.sandbox.channel import StepError, await_word, report_failure, step
from mcp_client.sandbox.linux import landlock, libc
from mcp_client.sandbox.linux.gate import load_gate
from mcp_client.sandbox.linux.metering import MEMORY, most_tasks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import NoReturn

    from mcp_client.sandbox.channel import Channel
    from mcp_client.sandbox.linux.filters import Filters
    from mcp_client.sandbox.spec import SandboxSpec

_MAX_FILE = 4 << 30
# Private memory is counted when it is asked for, not when it is used; a cgroup counts what is used.
_UNUSED_SHARE = 4


class Confinement:
    """What the server does to itself inside namespaces; the restricted sandbox does more."""

    def begin(self) -> None:
        """Before everything else."""

    def limits(self, spec: SandboxSpec, held: int) -> Mapping[int, int]:
        """RLIMIT_* -> soft and hard value; ``held`` is what a cgroup keeps."""
        return resource_limits(spec, memory_held=bool(held & MEMORY))

    def restrict_files(self) -> None:
        """Landlock. Raises OSError."""
        if version := landlock.interface_version():
            landlock.restrict_to_root(version)

    def more_filters(self) -> Iterable[bytes]:
        """System call filters that are loaded last."""
        return ()


def become_server(
    spec: SandboxSpec, filters: Filters, channel: Channel, confinement: Confinement, *, gate: int, held: int
) -> NoReturn:
    """Apply what belongs to the server's own process, wait until it is let go, and execute; never returns.

    ``gate`` is the socket to init for the gate's listener; ``held`` is what a cgroup keeps (metering).
    """
    try:
        confinement.begin()
        os.setsid()
        with step("enter the working folder"):
            _enter_folder(spec.directory)
        with step("restrict files with Landlock"):
            confinement.restrict_files()
        with step("reset signals"):
            _reset_signals()
        with step("close descriptors"):
            os.dup2(channel.diagnostics, 2)
            if spec.port is not None:
                _leave_streams(channel)
            libc.close_all_but(0, 1, 2, channel.setup, channel.control, gate)
        # Once ours are closed: a server may have few descriptors.
        with step("set limits"):
            for limit, value in confinement.limits(spec, held).items():
                resource.setrlimit(limit, (value, value))
        with step("load the gate"):
            gated = load_gate(filters.gate, gate)
            os.close(gate)
        with step("load the system call filter"):
            libc.load_seccomp_filter(filters.calls)
            libc.load_seccomp_filter(filters.arguments)
            if any(stat.S_ISSOCK(os.fstat(standard).st_mode) for standard in (0, 1)):
                libc.load_seccomp_filter(filters.sockets)
            for program in confinement.more_filters():
                libc.load_seccomp_filter(program)
        with step("report ready"):
            os.write(channel.setup, f"ready\t{gated:d}\n".encode())
            await_word(channel.control)
        with step("exec"):
            os.execve(spec.argv[0], spec.argv, dict(spec.environment))  # noqa: S606  no shell is meant
    except StepError as failure:
        report_failure(channel, failure.stage, failure.error)
    except BaseException as error:  # noqa: BLE001  as in run_child
        report_failure(channel, type(error).__name__, OSError(0, str(error)))
    finally:
        os._exit(127)
    raise AssertionError


def _enter_folder(folder: str) -> None:
    os.chdir(folder)
    if os.getcwd() != folder:
        raise NotADirectoryError(errno.ENOTDIR, f"{folder} leads elsewhere")


def _leave_streams(channel: Channel) -> None:
    """Clients of a server that listens come by the network; what it prints is for people."""
    os.dup2(channel.diagnostics, 1)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)


def resource_limits(spec: SandboxSpec, *, memory_held: bool) -> Mapping[int, int]:
    """The rlimits of a spec: RLIMIT_* -> soft and hard value; ``memory_held`` when a cgroup counts memory.

    RLIMIT_NPROC counts within the sandbox's own user namespace. RLIMIT_AS is left alone: Node and Go reserve
    far more address space than they use.
    """
    data = spec.limits.memory * (_UNUSED_SHARE if memory_held else 1)
    return {
        # Not 0, which a core_pattern with a pipe ignores: 1 makes the kernel skip that too (core(5)).
        resource.RLIMIT_CORE: min(1, _hard(resource.RLIMIT_CORE)),
        resource.RLIMIT_MEMLOCK: min(64 << 10, _hard(resource.RLIMIT_MEMLOCK)),
        resource.RLIMIT_DATA: min(data, _hard(resource.RLIMIT_DATA)),
        resource.RLIMIT_NPROC: min(most_tasks(spec), _hard(resource.RLIMIT_NPROC)),
        resource.RLIMIT_NOFILE: min(spec.limits.files, _hard(resource.RLIMIT_NOFILE)),
        resource.RLIMIT_FSIZE: min(_MAX_FILE, _hard(resource.RLIMIT_FSIZE)),
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_SIGPENDING: min(1024, _hard(resource.RLIMIT_SIGPENDING)),
        resource.RLIMIT_NICE: 0,
        resource.RLIMIT_RTPRIO: 0,
    }


def _hard(limit: int) -> int:
    hard = resource.getrlimit(limit)[1]
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def _reset_signals() -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) is not None:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
