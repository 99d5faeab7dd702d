"""What a server's world on Linux looks like, as mount operations. Pure but for looking at the host.

An allowlist: the root starts empty, and every path of the host in it is named here, belongs to the runtime,
or was granted by the user. Never the home folder, /run, /sys, /etc as a whole, or anybody's socket.
"""

from __future__ import annotations

import os

from mcp_client.errors import MCPError
from mcp_client.light import TYPE_CHECKING
from mcp_client.sandbox.linux.identity import HOSTNAME, INNER_ID
from mcp_client.sandbox.spec import Bind, File, Freeze, Link, Proc, Sysctl, Tmpfs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mcp_client.policy.model import Folder, Limits
    from mcp_client.sandbox.spec import MountOperation

BUNDLE = "/bundle"
DATA = "/data"
COMPILED = "/compiled"
HOME = "/home/mcp"
USER = "mcp"

_USR_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_HOST_ETC = (
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "pki/ca-trust",
    "pki/tls/cert.pem",
    "pki/tls/certs",
    "ssl/cert.pem",
    "ssl/certs",
    "ssl/openssl.cnf",
    "timezone",
)
_ETC_FILES = {
    "passwd": f"{USER}:x:{INNER_ID}:{INNER_ID}::{HOME}:/bin/sh\nnobody:x:65534:65534::/:/usr/sbin/nologin\n",
    "group": f"{USER}:x:{INNER_ID}:\nnogroup:x:65534:\n",
    "hosts": f"127.0.0.1 localhost {HOSTNAME}\n::1 localhost {HOSTNAME}\n",
    "hostname": f"{HOSTNAME}\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
}
_RESOLVER = "nameserver {}\noptions timeout:1 attempts:2\n"
_DEVICES = ("null", "zero", "full", "random", "urandom")
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}
# What procfs says of the machine rather than of the server's own processes.
_PROC_MASKED = (
    "acpi",
    "asound",
    "cmdline",
    "config.gz",
    "interrupts",
    "kallsyms",
    "kcore",
    "key-users",
    "keys",
    "kmsg",
    "kpagecgroup",
    "kpagecount",
    "kpageflags",
    "latency_stats",
    "modules",
    "sched_debug",
    "scsi",
    "slabinfo",
    "sysrq-trigger",
    "timer_list",
    "timer_stats",
    "vmallocinfo",
)
# To be 0 in the server's network: an init that has no rights any more listens on the ports of real services,
# and a server may be built to listen on one.
PORT_START = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
# Of what the kernel counts per user of the host, a server gets a part; the rest stays the user's.
_QUOTAS = {"max_inotify_instances": "32", "max_inotify_watches": "16384"}
# Stores of package managers that keep every library under one immutable root of their own.
_STORES = ("/nix/store", "/gnu/store")
_RESERVED = ("/proc", "/dev", "/sys", "/etc", "/run", BUNDLE, DATA, COMPILED)
_INODES = 16384


def plan_mounts(
    *,
    tree: str,
    data: str | None,
    runtimes: Iterable[str],
    folders: Iterable[Folder],
    limits: Limits,
    executable_scratch: bool,
    name_service: str | None = None,
    listening: bool = False,
    compiled: str | None = None,
) -> tuple[MountOperation, ...]:
    """The operations that build the root, in the order in which they are carried out.

    ``tree`` and ``data`` are folders of the host, ``runtimes`` folders or files of the host that are shown
    read-only where they are. Writable places hold programs only with ``executable_scratch``. The address of
    the ``name_service`` is there where anything leads out. A server that is ``listening`` may
    choose any port. ``compiled`` is a folder of the host to read from.
    """
    operations: list[MountOperation] = [
        *system(),
        *_etc(name_service),
        *host_etc(),
        *_proc(listening=listening or name_service is not None),
        *devices(),
    ]
    for target, share in (("/tmp", 4), (HOME, 4), ("/dev/shm", 8)):  # noqa: S108  paths inside the sandbox
        size = limits.memory // share
        operations.append(Tmpfs(target, size, _INODES, executable=executable_scratch))
    operations.append(Link("/var/tmp", "/tmp"))  # noqa: S108
    operations.append(Bind(tree, BUNDLE))
    if compiled is not None:
        operations.append(Bind(compiled, COMPILED, executable=False))
    if data is not None:
        operations.append(Bind(data, DATA, writable=True, executable=executable_scratch, granted=True))
    binds = [Bind(path, path) for path in runtimes if not _in_system(path)]
    for folder in folders:
        check_target(folder.inside)
        executable = executable_scratch or not folder.writable
        writable, identity = folder.writable, folder.identity
        binds.append(Bind(folder.host, folder.inside, writable, executable, granted=True, identity=identity))
    # Parents before children, so that none hides another.
    operations.extend(sorted(_unique(binds), key=lambda bind: bind.target.count("/")))
    return tuple(operations)


def likely_binds() -> tuple[Bind, ...]:
    """What plan_mounts() shows of this host to every server."""
    standard = (*system(), *host_etc(), *_proc(listening=False), *devices())
    return tuple(operation for operation in standard if isinstance(operation, Bind))


def check_target(inside: str) -> None:
    """Refuse a mount over the sandbox's own places (``mount-refused``)."""
    for place in (*_RESERVED, "/usr", *(f"/{name}" for name in _USR_LINKS)):
        if inside in {"/", place} or inside.startswith(f"{place}/"):
            raise MCPError(
                "mount-refused",
                f"{inside} is a place of the sandbox's own",
                hint="choose another path inside, such as /mnt/data",
            )


def _unique(binds: Iterable[Bind]) -> list[Bind]:
    found: dict[str, Bind] = {}
    for bind in binds:
        known = found.setdefault(bind.target, bind)
        if known != bind:
            raise MCPError(
                "mount-refused",
                f"two different mounts at {bind.target}",
                hint="give each its own path inside",
            )
    return list(found.values())


def _in_system(path: str) -> bool:
    return path == "/usr" or path.startswith("/usr/")


def system() -> Iterator[MountOperation]:
    """Programs and libraries of the host."""
    yield Bind("/usr", "/usr")
    for name in _USR_LINKS:
        path = f"/{name}"
        if os.path.islink(path):
            yield Link(path, os.readlink(path))
        elif os.path.isdir(path):
            yield Bind(path, path)
    for store in _STORES:
        if os.path.isdir(store):
            yield Bind(store, store)


def _etc(name_service: str | None) -> Iterator[MountOperation]:
    for name, content in _ETC_FILES.items():
        yield File(f"/etc/{name}", content)
    # With an empty one resolvers ask 127.0.0.1, where nobody is: that fails at once.
    yield File("/etc/resolv.conf", "" if name_service is None else _RESOLVER.format(name_service))


def host_etc() -> Iterator[MountOperation]:
    """The host's configuration that libraries and runtimes want."""
    for name in _HOST_ETC:
        path = f"/etc/{name}"
        if os.path.islink(path):
            yield Link(path, os.readlink(path))
        elif os.path.exists(path):
            yield Bind(path, path, executable=False)
    # Java's configuration: /usr/lib/jvm/*/conf is a link to here on Debian.
    for name in sorted(os.listdir("/etc")):
        if name.startswith("java-"):
            yield Bind(f"/etc/{name}", f"/etc/{name}", executable=False)


def _proc(*, listening: bool) -> Iterator[MountOperation]:
    yield Proc("/proc")
    if listening:
        yield Sysctl(PORT_START, "0")
    yield Sysctl("/proc/sys/user/max_user_namespaces", "0")
    for name, value in _QUOTAS.items():
        if os.path.exists(f"/proc/sys/user/{name}"):
            yield Sysctl(f"/proc/sys/user/{name}", value)
    for name in _PROC_MASKED:
        path = f"/proc/{name}"
        if os.path.isdir(path):
            yield Tmpfs(path, size=4096, inodes=1, mode=0o555, writable=False)
        elif os.path.exists(path):
            yield Bind("/dev/null", path, device=True)
    # Settings of the kernel, and a process's own: its place in the order in which memory is taken back.
    yield Freeze("/proc")


def devices() -> Iterator[MountOperation]:
    """Devices that are nobody's."""
    for name in _DEVICES:
        yield Bind(f"/dev/{name}", f"/dev/{name}", writable=True, executable=False, device=True)
    for name, to in _DEVICE_LINKS.items():
        yield Link(f"/dev/{name}", to)
