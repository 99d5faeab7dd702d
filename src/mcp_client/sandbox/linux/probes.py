"""Try each wall of the Linux sandbox in a process of its own, to say which one a host refuses."""

import errno
import os
from collections.abc import Callable

from mcp_client.errors import MCPError, printable
from mcp_client.sandbox.linux import landlock, libc
from mcp_client.sandbox.linux.enforcement import WALLS
from mcp_client.sandbox.linux.filters import Profile, load_filters
from mcp_client.sandbox.linux.identity import UNPRIVILEGED_ID
from mcp_client.sandbox.linux.refusals import WAY_AROUND, explain
from mcp_client.sandbox.spec import Control

_SECOND_LAYER = ("second layer", "Landlock: nothing outside the root")


def list_failures(filter_folder: str, failure: MCPError) -> tuple[Control, ...]:
    """The report of a host on which the whole sandbox ended in ``failure``: each wall, tried by itself."""
    steps: dict[str, Callable[[], None]] = {
        "identity": _new_user,
        "privileges": _no_privileges,
        "filesystem": _own_root,
        "process-isolation": _own_processes,
        "network": _own_network,
        "system-calls": lambda: _filtered(filter_folder),
        "landlock": _landlocked,
    }
    whole = Control("sandbox", "all together", "unavailable", failure.message, failure.hint)
    return (*(_attempt(name, step) for name, step in steps.items()), whole)


def _attempt(name: str, step: Callable[[], None]) -> Control:
    requested, mechanism = WALLS.get(name, _SECOND_LAYER)
    try:
        _run_in_child(step)
    except OSError as error:
        detail = f"{mechanism}: {printable(error.strerror or str(error))}"
        return Control(name, requested, "unavailable", detail, _mend(error))
    return Control(name, requested, "enforced", mechanism)


def _run_in_child(action: Callable[[], None]) -> None:
    """Run ``action`` in a forked child; its OSError comes back here."""
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


def _mend(error: OSError) -> str:
    explained = explain("create namespaces", error.errno or 0, "")
    return explained.hint.removesuffix(WAY_AROUND)


def _new_user(more: int = 0) -> None:
    uid, gid = os.geteuid(), os.getegid()
    libc.unshare(libc.CLONE_NEWUSER | more)
    for name, content in (("setgroups", "deny"), ("uid_map", f"1000 {uid} 1"), ("gid_map", f"1000 {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(content)


def _own_root() -> None:
    _new_user(libc.CLONE_NEWNS)
    _swap_root()


def _swap_root() -> None:
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


# Of a busy machine, not of its settings: the launch itself may succeed, or say what is wrong.
_PASSING = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EINTR})


def full_sandbox_obstacle() -> MCPError | None:
    """What keeps this host from building the full sandbox; None when its parts can be had together."""
    try:
        _run_in_child(_whole_sandbox)
    except OSError as error:
        if error.errno in _PASSING:
            return None
        number, reason = error.errno or 0, printable(error.strerror or str(error))
    else:
        return None
    try:
        _run_in_child(_own_root)
    except OSError:
        return explain("create namespaces", number, reason)
    return explain("build the root", number, f"proc {reason}")


def _whole_sandbox() -> None:
    if os.geteuid() == 0:
        # As root the sandbox leaves the groups and takes the unprivileged id, which has to exist here.
        os.setgroups([])
        os.setresuid(-1, UNPRIVILEGED_ID, -1)
        os.setresuid(-1, 0, -1)
    more = libc.CLONE_NEWNS | libc.CLONE_NEWPID | libc.CLONE_NEWNET | libc.CLONE_NEWIPC | libc.CLONE_NEWUTS
    _new_user(more)
    # First, since a fresh /proc is only for those who see a whole one (mount_namespaces(7)).
    _assert_fresh_proc()
    _swap_root()


def _own_processes() -> None:
    _new_user(libc.CLONE_NEWNS | libc.CLONE_NEWPID | libc.CLONE_NEWIPC)
    _assert_fresh_proc()


def _assert_fresh_proc() -> None:
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
    filters = load_filters(filter_folder, Profile(subprocess=False))
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    libc.load_seccomp_filter(filters.calls)
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
