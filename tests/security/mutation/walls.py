"""Rows of the table: namespaces, identity, privileges, mounts, descriptors and limits.

Name, what is missing, how, the files that are likely to notice and words that select from them.
"""

import os
import resource
import signal
from collections.abc import Callable, Iterator
from typing import Any

from mcp_client.sandbox.linux import (
    backend,
    identity,
    init,
    layout,
    libc,
    metering,
    mounts,
    privileges,
    server,
)
from mcp_client.sandbox.spec import Bind, Freeze, Sysctl, Tmpfs
from mutation.patches import (
    Patch,
    believing,
    only_elsewhere,
    replaced,
    several,
    silenced,
    with_operations,
    without_attribute,
    without_attribute_of,
    without_limit,
    without_operations,
    without_option,
    without_prctl,
    without_unshare,
    wrapped,
)

Row = tuple[str, str, Patch, str, str]

# The porter of a user's launch has no groups to leave, and one id only.
AS_ROOT = frozenset({"map-of-root", "setgroups", "groups", "unprivileged-user"})


def rows() -> Iterator[Row]:
    """All of this module."""
    yield from _namespaces()
    yield from _privileges()
    yield from _mounts()
    yield from _masks()
    yield from _process()
    yield from _limits()


def _namespaces() -> Iterator[Row]:
    yield (
        *("namespace-pid", "own process ids", without_unshare(libc.CLONE_NEWPID)),
        *("test_processes.py", "hosts_processes"),
    )
    network = several(without_unshare(libc.CLONE_NEWNET), silenced(init, "_bring_up_loopback"))
    yield "namespace-net", "own network", network, "test_network.py", "loopback"
    yield (
        *("namespace-ipc", "own System V objects", without_unshare(libc.CLONE_NEWIPC)),
        *("test_network.py", "shared_memory"),
    )
    name = several(without_unshare(libc.CLONE_NEWUTS), silenced(libc, "sethostname"))
    yield "namespace-uts", "own host name", name, "test_processes.py", "hosts_name"
    yield (
        *("namespace-cgroup", "own view of cgroups", without_unshare(libc.CLONE_NEWCGROUP)),
        *("test_privileges.py", "cgroup"),
    )
    nested = without_operations(lambda op: isinstance(op, Sysctl) and "user_namespaces" in op.target)
    unasked = silenced(init, "_assert_no_user_namespace")
    yield (
        *("nested-user-namespaces", "max_user_namespaces, and the look whether it works"),
        *(several(nested, unasked), "test_privileges.py", "namespaces"),
    )
    yield "nested-look", "the look whether a nested one fails", unasked, "test_privileges.py", "namespaces"


def _keep_root(pid: int) -> None:
    identity._write_maps(
        pid, f"{identity.INNER_ID} {os.geteuid()} 1", f"{identity.INNER_ID} {os.getegid()} 1"
    )


def _map_only(pid: int, uid_map: str, gid_map: str) -> None:
    for name, content in (("uid_map", uid_map), ("gid_map", gid_map)):
        with open(f"/proc/{pid}/{name}", "w", encoding="ascii") as file:
            file.write(content)


def _privileges() -> Iterator[Row]:
    tests = "test_privileges.py test_processes.py"
    yield "map-of-root", "root is nobody outside", replaced(identity, "map_ids", _keep_root), tests, "nobody"
    yield "setgroups", "setgroups is denied", replaced(identity, "_write_maps", _map_only), tests, "groups"
    yield (
        "groups",
        "root's groups are left",
        wrapped(os, "setgroups", lambda real, groups: real(groups) if groups else None),
        tests,
        "groups",
    )
    user = several(silenced(os, "setresuid"), silenced(os, "setresgid"))
    yield "unprivileged-user", "change to the mapped id", user, tests, "privileges"
    bounding = believing(without_prctl(libc.PR_CAPBSET_DROP))
    yield "capabilities-bounding", "empty bounding set", bounding, tests, "privileges"
    permitted = believing(silenced(libc._libc, "capset", 0))
    yield "capabilities-permitted", "empty permitted set of init", permitted, tests, "init"
    unasked = silenced(privileges, "assert_unprivileged")
    yield "capabilities-look", "the look whether they are gone", unasked, "test_fail_closed.py", "seem_to_go"
    yield "securebits", "root means nothing", silenced(privileges, "lock_meaning_of_root"), tests, "meaning"
    new = believing(without_prctl(libc.PR_SET_NO_NEW_PRIVS))
    yield "no-new-privileges", "no_new_privs", new, tests, "privileges"
    dumpable = without_prctl(libc.PR_SET_DUMPABLE, value=1)
    yield "dumpable", "init is not dumpable", dumpable, tests, "looked_into"
    yield "command-line", "init's is blank", silenced(init, "_hide_command_line"), tests, "command_line"


def _stay_mounted() -> None:
    libc._checked(libc._libc.pivot_root(b".", b"."), "pivot_root")


def _not_recursive(original: Callable[..., None], *arguments: Any, **options: Any) -> None:
    original(*arguments, **{**options, "recursive": False})


def _writable_root(original: Callable[..., None], *arguments: Any, recursive: bool, **options: Any) -> None:
    if recursive:
        original(*arguments, recursive=recursive, **options)


class _Everywhere(set[int]):
    def __contains__(self, _device: object) -> bool:
        return True


def _making_folders(original: Callable[..., None], self: mounts.Root, *arguments: Any) -> None:
    self._own_devices = _Everywhere()
    original(self, *arguments)


def _mounts() -> Iterator[Row]:
    table, files = "test_mounts.py", "test_files.py"
    yield "nosuid", "nosuid on mounts", without_attribute(libc.MOUNT_ATTR_NOSUID), table, "no_mount_gives"
    nodev = several(
        without_attribute(libc.MOUNT_ATTR_NODEV),
        replaced(mounts, "_SAFE", libc.MOUNT_ATTR_NOSUID),
    )
    yield "nodev", "nodev on mounts", nodev, table, "no_mount_gives"
    writable = without_attribute_of(lambda bind: not bind.device, libc.MOUNT_ATTR_RDONLY)
    yield "read-only-binds", "read-only /usr, bundle and grants", writable, files, "written_at or read_only"
    shallow = wrapped(libc, "set_mount_attributes", _not_recursive)
    yield "recursion", "attributes of submounts", shallow, table, "below"
    yield (
        *("read-only-root", "the root cannot be written"),
        *(wrapped(libc, "set_mount_attributes", _writable_root), files, "written_at"),
    )
    scratch = without_attribute(libc.MOUNT_ATTR_NOEXEC)
    yield "noexec", "no programs in writable places", scratch, files, "programs"
    granted = without_attribute_of(lambda bind: bind.granted, libc.MOUNT_ATTR_NOEXEC)
    yield "noexec-grants", "no programs in writable grants", granted, table, "programs"
    yield (
        "old-root",
        "the old root is detached",
        replaced(libc, "pivot_root_here", _stay_mounted),
        table,
        "root",
    )
    yield "propagation", "private mounts", silenced(libc, "make_mounts_private"), table, "propagat"
    yield (
        "identity-check",
        "the granted is the checked",
        silenced(mounts, "check_identity"),
        files,
        "exchanged",
    )
    followed = several(
        replaced(mounts, "_FOLDER", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC),
    )
    yield "links-in-targets", "no link is followed to a target", followed, table, "link"
    original = mounts.Root.build
    making = replaced(mounts.Root, "build", lambda self, *rest: _making_folders(original, self, *rest))
    yield "foreign-folders", "nothing is made in a grant", making, table, "made"
    yield "size", "bytes of scratch space", without_option("size"), files, "bounded_in_bytes"
    yield "inodes", "entries of scratch space", without_option("nr_inodes"), files, "bounded_in_entries"
    for name, more in {
        "sys": Bind("/sys", "/sys"),
        "home": Bind(os.path.expanduser("~"), "/home/host"),
        "run": Bind("/run", "/run"),
    }.items():
        yield (
            *(f"root-{name}", f"no {more.source} in the root", with_operations("devices", more)),
            *(f"{files} {table}", "root_holds or but_what_is_listed"),
        )
    terminal = several(
        replaced(layout, "_DEVICES", (*layout._DEVICES, "tty")),
    )
    yield "devices", "no other devices", terminal, "test_reach.py test_processes.py", "tty or terminal"
    everything = several(
        replaced(layout, "_etc", lambda: iter((Bind("/etc", "/etc", executable=False),))),
        silenced(layout, "host_etc", ()),
    )
    yield "etc", "an /etc of its own", everything, f"test_reach.py {table}", "shadow or machine or etc"
    users = replaced(layout, "_ETC_FILES", {**layout._ETC_FILES, "passwd": _passwd_of_host()})
    yield "etc-passwd", "users of its own", users, table, "users"


def _passwd_of_host() -> str:
    with open("/etc/passwd", encoding="utf-8") as file:
        return file.read()


def _masks() -> Iterator[Row]:
    def hides(name: str) -> Callable[[Any], bool]:
        return lambda op: isinstance(op, Bind | Tmpfs) and op.target == f"/proc/{name}"

    for name in layout._PROC_MASKED:
        if os.path.exists(f"/proc/{name}"):
            yield (
                *(f"mask-{name}", f"/proc/{name} is hidden", without_operations(hides(name))),
                *("test_kernel.py test_mounts.py", "proc_says or mask"),
            )
    frozen = without_operations(lambda op: isinstance(op, Freeze))
    yield "freeze", "settings in /proc are frozen", frozen, "test_kernel.py", "frozen"
    for name in layout._QUOTAS:
        quota = without_operations(lambda op, name=name: isinstance(op, Sysctl) and op.target.endswith(name))
        yield f"quota-{name}", "a part of the user's quota", quota, "test_limits.py", "inotify"


def _handle_all() -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) is not None:
            signal.signal(number, signal.SIG_DFL)


def _unblock_all() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _process() -> Iterator[Row]:
    processes, privileged, limits = "test_processes.py", "test_privileges.py", "test_limits.py"
    yield (
        "session-of-init",
        "setsid of init",
        only_elsewhere(os, "setsid", in_server=False),
        "test_keeper.py",
        "session",
    )
    yield (
        "session-of-server",
        "setsid of the server",
        only_elsewhere(os, "setsid", in_server=True),
        processes,
        "terminal",
    )
    yield (
        *("parent-death", "init dies with the supervisor", without_prctl(libc.PR_SET_PDEATHSIG)),
        *("test_keeper.py", "supervisor"),
    )
    descriptors = only_elsewhere(libc, "close_all_but", in_server=True)
    yield "descriptors", "all others are closed", descriptors, processes, "descriptor"
    streams = silenced(server, "_leave_streams")
    yield "own-streams", "a server that listens leaves ours alone", streams, "test_ingress.py", "holds"
    error = only_elsewhere(os, "dup2", in_server=True)
    yield "standard-error", "a pipe of its own", error, "test_privileges.py test_files.py", "standard_error"
    network = replaced(backend, "_is_confined", lambda _descriptor: True)
    yield "network-sockets", "no network socket as input", network, "test_network.py", "standard_input"
    local = replaced(backend, "_is_confined", lambda fd: libc.socket_family(fd) == 1)
    yield (
        "datagram-sockets",
        "no datagram socket as input",
        local,
        "test_limits.py test_network.py",
        "datagram",
    )
    folder = replaced(server, "_enter_folder", os.chdir)
    yield "working-folder", "the look where it leads", folder, privileged, "working_folder"
    blocked = replaced(server, "_reset_signals", _handle_all)
    yield "signal-mask", "no signal is blocked", blocked, limits, "signals"
    ignored = replaced(server, "_reset_signals", _unblock_all)
    yield "signal-dispositions", "no signal is ignored", ignored, limits, "signals"
    closed = silenced(backend, "_occupy_standard_descriptors")
    yield "closed-descriptors", "0 to 2 are never ours", closed, "test_keeper.py", "closed"
    umask = wrapped(os, "umask", lambda real, value: real(0o022 if value == 0o077 else value))
    yield "umask", "umask 077", umask, limits, "umask"
    plan = backend.LinuxBackend.plan

    def inherit(self: Any, *arguments: Any, **options: Any) -> Any:
        spec = plan(self, *arguments, **options)
        return spec._replace(environment={**os.environ, **spec.environment})

    yield (
        "environment",
        "made from nothing",
        replaced(backend.LinuxBackend, "plan", inherit),
        processes,
        "environment",
    )
    yield "oom-score", "the server goes first", silenced(init, "offer_to_the_oom_killer"), limits, "first"


def _limits() -> Iterator[Row]:
    for name in (
        "CORE",
        "MEMLOCK",
        "DATA",
        "NPROC",
        "NOFILE",
        "FSIZE",
        "MSGQUEUE",
        "SIGPENDING",
        "NICE",
        "RTPRIO",
    ):
        limit = getattr(resource, f"RLIMIT_{name}")
        if resource.getrlimit(limit)[1] == 0:
            # What the caller does not have either cannot be missed.
            continue
        yield (
            *(f"rlimit-{name.lower()}", f"RLIMIT_{name}", without_limit(limit)),
            *("test_limits.py", f"rlimit and {name}"),
        )
    memory = silenced(metering.Meter, "_weigh")
    yield "meter-memory", "memory of all together", memory, "test_limits.py", "memory"
    cpu = silenced(metering.Meter, "_keep_share")
    yield "meter-cpu", "share of the processor", cpu, "test_limits.py", "processor"
