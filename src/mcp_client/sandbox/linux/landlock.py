"""Landlock (landlock(7)): which files a process and its children may use, whatever has a path.

In the full sandbox it is the second layer: the mounts already say what has a path inside. What they cannot
say is that an inherited descriptor, a log file behind standard error for one, must not be opened again
through /proc/self/fd with other rights. In the restricted sandbox it is the only wall around files.
"""

from __future__ import annotations

import ctypes
import os
import stat

from mcp_client.light import TYPE_CHECKING
from mcp_client.sandbox.linux import libc
from mcp_client.sandbox.linux.mounts import check_identity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mcp_client.sandbox.spec import Bind

_RULE_PATH_BENEATH = 1
# How many kinds of access each version of the interface knows, beginning with version 1.
_ACCESS_KINDS = (13, 14, 15, 15, 16)
_NETWORK_SINCE = 4
SIGNALS_SCOPED_SINCE = 6
_BIND_AND_CONNECT_TCP = 0b11
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11

# linux/landlock.h: LANDLOCK_ACCESS_FS_*
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE = 1 << 4, 1 << 5
_MAKE_DIR, _MAKE_REG, _MAKE_FIFO, _MAKE_SYM = 1 << 7, 1 << 8, 1 << 10, 1 << 12
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
# No devices and no sockets.
_CHANGE = (
    *(_WRITE_FILE, _TRUNCATE, _REFER, _REMOVE_DIR, _REMOVE_FILE),
    *(_MAKE_DIR, _MAKE_REG, _MAKE_FIFO, _MAKE_SYM),
)


class _RulesetAttributes(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32)]


def interface_version() -> int:
    """The kernel's version of the interface; 0 where there is none."""
    try:
        return libc.landlock_version()
    except OSError:
        return 0


def restrict_to_root(version: int) -> None:
    """From now on, for this process and its children: only what lies below ``/``. Raises OSError.

    Signals and abstract sockets are confined as well where the kernel offers it.
    """
    ruleset = _new_ruleset(version, network=0)
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    _enforce(ruleset, [(root, _known_access(version))])


def restrict_to(binds: Iterable[Bind], version: int) -> None:
    """The same for what ``binds`` name, at most with the access each of them gives, and no TCP port.

    Raises OSError, ESTALE for a granted file or folder that was exchanged since it was checked.
    """
    ruleset = _new_ruleset(version, network=_BIND_AND_CONNECT_TCP)
    _enforce(ruleset, _rules(binds, version))


def _rules(binds: Iterable[Bind], version: int) -> Iterator[tuple[int, int]]:
    """Each place is closed before the next is opened: there may be more of them than descriptors."""
    for bind in binds:
        place = os.open(bind.source, os.O_PATH | os.O_CLOEXEC)
        check_identity(place, bind)
        yield place, _access(bind, place) & _known_access(version)


def _access(bind: Bind, place: int) -> int:
    access = _READ_FILE | _READ_DIR
    if bind.executable:
        access |= _EXECUTE
    if bind.writable:
        access |= sum(_CHANGE)
    return access if stat.S_ISDIR(os.fstat(place).st_mode) else access & _OF_FILES


def _known_access(version: int) -> int:
    return (1 << _ACCESS_KINDS[min(version, len(_ACCESS_KINDS)) - 1]) - 1


def _new_ruleset(version: int, network: int) -> int:
    """A ruleset that forbids all the kernel knows to forbid; an older kernel wants a shorter structure."""
    network = network if version >= _NETWORK_SINCE else 0
    scoped = _ABSTRACT_SOCKETS_AND_SIGNALS if version >= SIGNALS_SCOPED_SINCE else 0
    attributes = _RulesetAttributes(_known_access(version), network, scoped)
    fields = 3 if scoped else 2 if network else 1
    return libc.landlock_create_ruleset(attributes, fields * ctypes.sizeof(ctypes.c_uint64))


def _enforce(ruleset: int, rules: Iterable[tuple[int, int]]) -> None:
    for place, access in rules:
        libc.landlock_add_rule(ruleset, _RULE_PATH_BENEATH, _PathBeneath(access, place))
        os.close(place)
    libc.landlock_restrict_self(ruleset)
    os.close(ruleset)
