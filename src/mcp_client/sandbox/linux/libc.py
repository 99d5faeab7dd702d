"""System calls that Python does not offer, typed, in one place, with errors as OSError.

Numbers above 424 are the same on every architecture (asm-generic/unistd.h).
"""

from __future__ import annotations

import ctypes
import errno
import os

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 2

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_IDMAP = 0x00100000

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_SECUREBITS = 28
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
SECCOMP_MODE_FILTER = 2
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_NEW_LISTENER = 1 << 3
SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 1 << 5
LAST_DESCRIPTOR = 0xFFFFFFFF

_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_FSOPEN = 430
_SYS_FSCONFIG = 431
_SYS_FSMOUNT = 432
_SYS_CLOSE_RANGE = 436
_SYS_MOUNT_SETATTR = 442
_SYS_LANDLOCK_CREATE_RULESET = 444
_SYS_LANDLOCK_ADD_RULE = 445
_SYS_LANDLOCK_RESTRICT_SELF = 446
_LANDLOCK_CREATE_RULESET_VERSION = 1
# Below 425 the numbers are an architecture's own.
_SYS_SECCOMP = 317 if os.uname().machine == "x86_64" else 277

_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 1
_OPEN_TREE_CLOEXEC = os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 0x4
_MOVE_MOUNT_T_EMPTY_PATH = 0x40
_FSOPEN_CLOEXEC = 1
_FSMOUNT_CLOEXEC = 1
_FSCONFIG_SET_STRING = 1
_FSCONFIG_CMD_CREATE = 6
_LINUX_CAPABILITY_VERSION_3 = 0x20080522


class _MountAttributes(ctypes.Structure):
    _fields_ = [
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("user_namespace", ctypes.c_uint64),
    ]


class _FilterProgram(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def _checked(result: int, what: str) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def _syscall(what: str, number: int, *arguments: object) -> int:
    values = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *values), what)


def unshare(flags: int) -> None:
    """unshare(2)."""
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def prctl(option: int, value: int = 0) -> None:
    """prctl(2) for the options whose remaining arguments must be zero."""
    zero = ctypes.c_ulong(0)
    _checked(_libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero), f"prctl {option}")


def close_range(first: int, last: int) -> None:
    """close_range(2), nothing when the range is empty; os.closerange() is a loop in portable builds."""
    if first <= last:
        _syscall("close_range", _SYS_CLOSE_RANGE, first, last, 0)


def close_all_but(*kept: int) -> None:
    """Close every descriptor but those."""
    first = 0
    for descriptor in sorted(kept):
        close_range(first, descriptor - 1)
        first = descriptor + 1
    close_range(first, LAST_DESCRIPTOR)


def sethostname(name: str) -> None:
    """sethostname(2)."""
    data = name.encode()
    _checked(_libc.sethostname(data, ctypes.c_size_t(len(data))), "sethostname")


def make_mounts_private() -> None:
    """Stop mount events from travelling between this namespace and the host, for the whole tree."""
    _checked(_libc.mount(None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None), "mount /")


def pivot_root_here() -> None:
    """pivot_root(2) in its ``.``, ``.`` form: the working folder becomes the root, the old root goes away."""
    _checked(_libc.pivot_root(b".", b"."), "pivot_root")
    _checked(_libc.umount2(b".", ctypes.c_int(MNT_DETACH)), "umount the old root")


def clone_tree(source: str) -> int:
    """A detached copy of the mounts at ``source`` and below, as a descriptor (open_tree(2))."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_RECURSIVE
    return _syscall(source, _SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(source), flags)


def clone_tree_at(folder: int) -> int:
    """The same for a folder that is open already."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_RECURSIVE | _AT_EMPTY_PATH
    return _syscall("open_tree", _SYS_OPEN_TREE, folder, b"", flags)


def set_mount_attributes(mount: int, attributes: int, *, recursive: bool, user_namespace: int = 0) -> None:
    """mount_setattr(2) on a mount descriptor.

    With ``recursive`` every submount is changed or none is; MS_REMOUNT leaves submounts writable.
    """
    request = _MountAttributes(attributes, 0, 0, user_namespace)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    size = ctypes.sizeof(request)
    _syscall("mount_setattr", _SYS_MOUNT_SETATTR, mount, b"", flags, ctypes.byref(request), size)


def new_filesystem(kind: str, attributes: int, **options: str) -> int:
    """A detached, new filesystem instance as a descriptor (fsopen(2), fsmount(2))."""
    context = _syscall(f"fsopen {kind}", _SYS_FSOPEN, kind.encode(), _FSOPEN_CLOEXEC)
    try:
        for key, value in options.items():
            arguments = (context, _FSCONFIG_SET_STRING, key.encode(), value.encode(), 0)
            _syscall(f"{kind} {key}={value}", _SYS_FSCONFIG, *arguments)
        _syscall(f"create {kind}", _SYS_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0)
        return _syscall(f"fsmount {kind}", _SYS_FSMOUNT, context, _FSMOUNT_CLOEXEC, attributes)
    finally:
        os.close(context)


def attach_mount(mount: int, target: int) -> None:
    """Attach a detached mount over what the descriptor ``target`` names (move_mount(2))."""
    flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH
    _syscall("move_mount", _SYS_MOVE_MOUNT, mount, b"", target, b"", flags)


def open_network_socket() -> int:
    """An AF_INET datagram socket, for interface ioctls only; the socket module costs 5 ms to import."""
    af_inet, sock_dgram_cloexec = 2, 2 | os.O_CLOEXEC
    return _checked(_libc.socket(af_inet, sock_dgram_cloexec, 0), "socket")


def make_message_sockets() -> tuple[int, int]:
    """A pair of connected AF_UNIX sockets for messages with ends, SOCK_SEQPACKET, that never block."""
    af_unix, sock_seqpacket = 1, 5
    ends = (ctypes.c_int * 2)()
    kind = sock_seqpacket | os.O_CLOEXEC | os.O_NONBLOCK
    _checked(_libc.socketpair(af_unix, kind, 0, ends), "socketpair")
    return ends[0], ends[1]


def watch_for_writes(path: str) -> int | None:
    """A descriptor that is readable once something was written to ``path``, by inotify(7).

    None where that is not to be had: not every kind of file tells.
    """
    in_modify = 0x2
    notices = int(_libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
    if notices < 0:
        return None
    if _libc.inotify_add_watch(notices, os.fsencode(path), in_modify) < 0:
        os.close(notices)
        return None
    return notices


def fill_memory(address: int, size: int) -> None:
    """Overwrite this process's own memory with zeros."""
    ctypes.memset(address, 0, size)


def socket_family(descriptor: int) -> int:
    """SO_DOMAIN of a socket (socket(7)); importing the socket module would cost 5 ms."""
    return _socket_option(descriptor, 39)


def socket_type(descriptor: int) -> int:
    """SO_TYPE of a socket (socket(7))."""
    return _socket_option(descriptor, 3)


def _socket_option(descriptor: int, option: int) -> int:
    sol_socket = 1
    value, size = ctypes.c_int(), ctypes.c_uint32(ctypes.sizeof(ctypes.c_int))
    answer = _libc.getsockopt(descriptor, sol_socket, option, ctypes.byref(value), ctypes.byref(size))
    _checked(answer, "getsockopt")
    return value.value


def drop_all_capabilities() -> None:
    """Empty the bounding, ambient, permitted, effective and inheritable sets (capabilities(7))."""
    last = 63
    for capability in range(last + 1):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            # EINVAL marks the end of the kernel's list; anything earlier is caught by the assertion on
            # /proc/self/status that follows.
            break
    zero = ctypes.c_ulong(0)
    cleared = _libc.prctl(PR_CAP_AMBIENT, ctypes.c_ulong(PR_CAP_AMBIENT_CLEAR_ALL), zero, zero, zero)
    _checked(cleared, "clear ambient capabilities")
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    _checked(_libc.capset(ctypes.byref(header), ctypes.byref(sets)), "capset")


def landlock_version() -> int:
    """landlock_create_ruleset(2) when it is asked for its version only."""
    flags = _LANDLOCK_CREATE_RULESET_VERSION
    return _syscall("landlock", _SYS_LANDLOCK_CREATE_RULESET, None, 0, flags)


def landlock_create_ruleset(attributes: ctypes.Structure, size: int) -> int:
    """landlock_create_ruleset(2): a new ruleset as a descriptor."""
    return _syscall("landlock", _SYS_LANDLOCK_CREATE_RULESET, ctypes.byref(attributes), size, 0)


def landlock_add_rule(ruleset: int, kind: int, rule: ctypes.Structure) -> None:
    """landlock_add_rule(2)."""
    _syscall("landlock rule", _SYS_LANDLOCK_ADD_RULE, ruleset, kind, ctypes.byref(rule), 0)


def landlock_restrict_self(ruleset: int) -> None:
    """landlock_restrict_self(2)."""
    _syscall("landlock restrict", _SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0)


def load_seccomp_filter(program: bytes) -> None:
    """Install a compiled BPF program for this thread; it stays for its whole life (seccomp(2))."""
    request = _FilterProgram(len(program) // 8, program)
    zero = ctypes.c_ulong(0)
    loaded = _libc.prctl(
        PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), ctypes.byref(request), zero, zero
    )
    _checked(loaded, "seccomp")


def load_seccomp_listener(program: bytes) -> int:
    """The same with a listener: a descriptor that is asked what it leaves open (seccomp_unotify(2))."""
    request = _FilterProgram(len(program) // 8, program)
    # A handler that interrupts connect(2) before it began would make callers wait for what nobody does.
    flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
    arguments = _SYS_SECCOMP, SECCOMP_SET_MODE_FILTER
    try:
        return _syscall("seccomp listener", *arguments, flags, ctypes.byref(request))
    except OSError as error:
        # Before Linux 5.19, where a signal may still come in between.
        if error.errno != errno.EINVAL:
            raise
    flags = SECCOMP_FILTER_FLAG_NEW_LISTENER
    return _syscall("seccomp listener", *arguments, flags, ctypes.byref(request))
