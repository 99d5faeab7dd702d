"""Landlock as a second layer (landlock(7)): no file that does not lie below the sandbox's own root.

The mounts already say what has a path inside. What they cannot say is that an inherited descriptor, a log
file behind standard error for one, must not be opened again through /proc/self/fd with other rights.
"""

import ctypes
import os

from mcp_client.sandbox.linux import libc

_RULE_PATH_BENEATH = 1
# How many kinds of access each version of the interface knows, beginning with version 1.
_ACCESS_KINDS = (13, 14, 15, 15, 16)
_SCOPED_SINCE = 6
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11


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
    access = (1 << _ACCESS_KINDS[min(version, len(_ACCESS_KINDS)) - 1]) - 1
    scoped = _ABSTRACT_SOCKETS_AND_SIGNALS if version >= _SCOPED_SINCE else 0
    attributes = _RulesetAttributes(access, 0, scoped)
    size = ctypes.sizeof(attributes) if scoped else ctypes.sizeof(ctypes.c_uint64)
    ruleset = libc.landlock_create_ruleset(attributes, size)
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    libc.landlock_add_rule(ruleset, _RULE_PATH_BENEATH, _PathBeneath(access, root))
    libc.landlock_restrict_self(ruleset)
    os.close(root)
    os.close(ruleset)
