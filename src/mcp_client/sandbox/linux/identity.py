"""Who the server is, and where: one unprivileged id inside, and one outside.

For a user it is the user. Root becomes the kernel's overflow id, which owns nothing that matters; folders
that root grants are then shown through an id-mapped mount, so that the grant means what it says.
"""

from __future__ import annotations

import os

from mcp_client.light import signal
from mcp_client.sandbox.linux import libc

HOSTNAME = "mcp"
INNER_ID = 1000
UNPRIVILEGED_ID = 65534


def map_ids(pid: int) -> None:
    """Map the caller's id, or the unprivileged one for root, to the only id inside (user_namespaces(7))."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        uid = gid = UNPRIVILEGED_ID
    _write_maps(pid, f"{INNER_ID} {uid} 1", f"{INNER_ID} {gid} 1")


def clone_as_owner(source: str) -> int | None:
    """A detached copy of ``source`` in which the unprivileged id stands for its owner; for root only.

    None where the file system or the caller's rights do not allow it (mount_setattr(2), ID-mapped mounts):
    the plain mount then shows what the unprivileged id may see, which is less, never more.
    """
    status = os.stat(source)
    try:
        namespace = _owner_namespace(status.st_uid, status.st_gid)
        try:
            mount = libc.clone_tree(source)
            libc.set_mount_attributes(mount, libc.MOUNT_ATTR_IDMAP, recursive=True, user_namespace=namespace)
        finally:
            os.close(namespace)
    except OSError:
        return None
    return mount


def _owner_namespace(uid: int, gid: int) -> int:
    """A user namespace, as a descriptor, whose only line maps ``uid`` to the unprivileged id."""
    read, write = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == parent:
                libc.unshare(libc.CLONE_NEWUSER)
                os.write(write, b".")
                signal.pause()
        finally:
            os._exit(1)
    os.close(write)
    try:
        os.read(read, 1)
        _write_maps(child, f"{uid} {UNPRIVILEGED_ID} 1", f"{gid} {UNPRIVILEGED_ID} 1")
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(read)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _write_maps(pid: int, uid_map: str, gid_map: str) -> None:
    # An unprivileged process may map groups only where setgroups(2) is gone for good.
    for name, content in (("setgroups", "deny"), ("uid_map", uid_map), ("gid_map", gid_map)):
        with open(f"/proc/{pid}/{name}", "wb") as file:
            file.write(content.encode())
