"""Try each control of the Linux sandbox in a process of its own, then all of them together."""

import errno
import os
import resource
import tempfile
from collections.abc import Callable

from mcp_client.errors import MCPError
from mcp_client.policy.model import DEFAULT_LIMITS, Policy
from mcp_client.runtimes.command import Command
from mcp_client.sandbox.linux import landlock, libc
from mcp_client.sandbox.linux.backend import LinuxBackend
from mcp_client.sandbox.linux.filters import load_filters
from mcp_client.sandbox.linux.refusals import explain
from mcp_client.sandbox.probes import Probe, attempt


def probe_linux(filter_folder: str) -> list[Probe]:
    """Every control by itself, the limits, and the whole sandbox up to where a server would start."""
    steps: tuple[tuple[str, str, Callable[[], None]], ...] = (
        ("identity", "user namespace with one unprivileged id", _new_user),
        ("filesystem", "own read-only root in a mount namespace", _own_root),
        ("process-isolation", "pid and ipc namespaces, fresh /proc", _own_processes),
        ("network", "empty network namespace", _own_network),
        ("privileges", "no capabilities, no_new_privs", _no_privileges),
        ("system-calls", "seccomp filter", lambda: _filtered(filter_folder)),
        ("landlock", "nothing outside the root", _landlocked),
        ("files", "RLIMIT_NOFILE", lambda: _limited(resource.RLIMIT_NOFILE)),
    )
    probes = [attempt(control, mechanism, _in_child(step), _mend) for control, mechanism, step in steps]
    probes += _limit_probes()
    probes.append(_whole(filter_folder))
    return probes


def _limit_probes() -> list[Probe]:
    """What rlimits alone can do for limits on the whole server; cgroups are not used by this release."""
    return [
        Probe("memory", False, "degraded: RLIMIT_DATA, per process", None, required=False),
        Probe("processes", False, "degraded: RLIMIT_NPROC, threads count too", None, required=False),
        Probe("cpu", False, "unavailable: needs a cgroup", None, required=False),
    ]


def _whole(filter_folder: str) -> Probe:
    """Build a complete sandbox and stop at its gate: nothing is executed."""
    policy = Policy({}, False, DEFAULT_LIMITS, (), ())
    backend = LinuxBackend(filter_folder)
    with tempfile.TemporaryDirectory(prefix="mcp-doctor-") as tree:
        os.chmod(tree, 0o755)
        try:
            process = backend.launch(
                backend.plan(Command(("/bin/true",), (), ()), policy, tree=tree, data=None)
            )
            process.await_ready()
            process.kill()
            process.collect()
        except MCPError as error:
            return Probe("sandbox", False, error.message, error.hint, required=True)
    return Probe("sandbox", True, "everything together", None, required=True)


def _in_child(action: Callable[[], None]) -> Callable[[], None]:
    """``action`` in a forked child; its OSError comes back here."""

    def run() -> None:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                action()
                status = 0
            except (OSError, MCPError) as error:
                number = error.errno if isinstance(error, OSError) else 0
                os.write(write, f"{number or 0}\t{error}".encode())
            finally:
                os._exit(status)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            answer = pipe.read().decode(errors="replace")
        _, status = os.waitpid(child, 0)
        if status:
            code, _, text = answer.partition("\t")
            raise OSError(int(code or 0), text or f"ended with wait status {status}")

    return run


def _mend(error: OSError) -> str:
    explained = explain("create namespaces", error.errno or 0, "")
    return explained.hint or "see docs/SECURITY.md"


def _new_user(more: int = 0) -> None:
    uid, gid = os.geteuid(), os.getegid()
    libc.unshare(libc.CLONE_NEWUSER | more)
    for name, content in (("setgroups", "deny"), ("uid_map", f"1000 {uid} 1"), ("gid_map", f"1000 {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(content)


def _own_root() -> None:
    _new_user(libc.CLONE_NEWNS)
    libc.make_mounts_private()
    usr = libc.clone_tree("/usr")
    libc.set_mount_attributes(usr, libc.MOUNT_ATTR_RDONLY, recursive=True)
    root = libc.new_filesystem("tmpfs", libc.MOUNT_ATTR_NODEV)
    anchor = os.open("/dev", os.O_PATH)
    libc.attach_mount(root, anchor)
    os.fchdir(root)
    libc.pivot_root_here()
    if os.path.exists("/usr"):
        raise PermissionError(errno.EPERM, "the host's files are still visible")


def _own_processes() -> None:
    _new_user(libc.CLONE_NEWNS | libc.CLONE_NEWPID | libc.CLONE_NEWIPC)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            libc.new_filesystem("proc", libc.MOUNT_ATTR_NOSUID)
            status = 0 if os.getpid() == 1 else 2
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if status:
        raise PermissionError(errno.EPERM, "a fresh /proc is refused")


def _own_network() -> None:
    _new_user(libc.CLONE_NEWNET)
    with open("/proc/self/net/dev", encoding="ascii") as file:
        interfaces = [line.partition(":")[0].strip() for line in file if ":" in line]
    if interfaces != ["lo"]:
        raise PermissionError(errno.EPERM, f"interfaces are visible: {', '.join(interfaces)}")


def _no_privileges() -> None:
    _new_user()
    libc.drop_all_capabilities()
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    try:
        libc.sethostname("mcp")
    except PermissionError:
        return
    raise PermissionError(errno.EPERM, "a capability survived")


def _filtered(filter_folder: str) -> None:
    programs = load_filters(filter_folder, subprocess=False)
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    for program in programs:
        libc.load_seccomp_filter(program)
    try:
        os.fork()
    except PermissionError:
        return
    raise PermissionError(errno.EPERM, "fork was not refused")


def _landlocked() -> None:
    outside = os.open("/proc/self/exe", os.O_RDONLY)
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    landlock.restrict_to_root(landlock.interface_version() or 1)
    os.close(os.open(f"/proc/self/fd/{outside}", os.O_RDONLY))


def _limited(limit: int) -> None:
    resource.setrlimit(limit, (8, 8))
    try:
        for _ in range(16):
            os.dup(0)
    except OSError as error:
        if error.errno == errno.EMFILE:
            return
        raise
    raise PermissionError(errno.EPERM, "the limit did not hold")
