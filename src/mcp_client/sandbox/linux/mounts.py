"""Build the sandbox's root from mount operations.

Sources are opened first, while the host's tree is still there and with the caller's own rights; targets
are then walked component by component without following links, so that nothing inside a bundle or a
granted folder can redirect a mount. New folders are only ever made in file systems of our own.
"""

from __future__ import annotations

import errno
import os
import stat

from mcp_client.light import TYPE_CHECKING
from mcp_client.sandbox.linux import libc
from mcp_client.sandbox.spec import Bind, File, Freeze, Link, Proc, Sysctl, Tmpfs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mcp_client.sandbox.spec import MountOperation

_ROOT_OPTIONS = {"mode": "0755", "size": "1m", "nr_inodes": "4096"}
_SAFE = libc.MOUNT_ATTR_NOSUID | libc.MOUNT_ATTR_NODEV
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def clone_sources(
    operations: Sequence[MountOperation], clones: dict[int, int], likely: dict[Bind, int]
) -> None:
    """Add to ``clones`` detached, restricted copies of every bound source: index of the operation -> mount.

    What is in ``clones`` already is restricted and kept; ``likely`` is from clone_likely(), and used up.
    """
    for index, operation in enumerate(operations):
        if isinstance(operation, Bind):
            if operation in likely:
                clones[index] = likely.pop(operation)
                continue
            if index not in clones:
                clones[index] = libc.clone_tree(operation.source)
                check_identity(clones[index], operation)
            libc.set_mount_attributes(clones[index], _bind_attributes(operation), recursive=True)
    for unused in likely.values():
        os.close(unused)


def clone_likely(operations: Sequence[Bind]) -> dict[Bind, int]:
    """The same for binds that are wanted before long, and that nobody granted; what fails now fails then."""
    clones = {}
    for operation in dict.fromkeys(operations):
        try:
            clones[operation] = libc.clone_tree(operation.source)
            libc.set_mount_attributes(clones[operation], _bind_attributes(operation), recursive=True)
        except OSError:
            continue
    return clones


def check_identity(mount: int, operation: Bind) -> None:
    """Raise OSError unless what was cloned is what was checked: a path can be exchanged in between."""
    found = os.fstat(mount)
    if operation.identity not in {None, (found.st_dev, found.st_ino)}:
        raise OSError(errno.ESTALE, "it was exchanged while the sandbox was being built", operation.source)


def _bind_attributes(operation: Bind) -> int:
    attributes = libc.MOUNT_ATTR_NOSUID
    if not operation.device:
        attributes |= libc.MOUNT_ATTR_NODEV
    if not operation.writable:
        attributes |= libc.MOUNT_ATTR_RDONLY
    if not operation.executable:
        attributes |= libc.MOUNT_ATTR_NOEXEC
    return attributes


class Root:
    """A new root file system under construction, attached over ``anchor`` until it is entered."""

    def __init__(self, anchor: str) -> None:
        """Attach an empty tmpfs over the existing folder ``anchor`` of the host's tree."""
        self._mount = libc.new_filesystem("tmpfs", _SAFE, **_ROOT_OPTIONS)
        target = os.open(anchor, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        libc.attach_mount(self._mount, target)
        os.close(target)
        self._own_devices = {os.fstat(self._mount).st_dev}

    def build(self, operations: Sequence[MountOperation], clones: dict[int, int]) -> None:
        """Carry out ``operations`` in order; ``clones`` comes from clone_sources(). Raises OSError."""
        for index, operation in enumerate(operations):
            try:
                self._carry_out(operation, clones.get(index, -1))
            except OSError as error:
                raise OSError(error.errno, error.strerror, operation.describe()) from error

    def enter(self) -> None:
        """Make the new root read-only and the only one, and leave the host's tree behind."""
        libc.set_mount_attributes(self._mount, libc.MOUNT_ATTR_RDONLY, recursive=False)
        os.fchdir(self._mount)
        libc.pivot_root_here()
        os.chdir("/")
        os.close(self._mount)

    def _carry_out(self, operation: MountOperation, clone: int) -> None:
        match operation:
            case Bind(target=target):
                # Asked of the clone: the source's own path may be closed to the user we have become.
                point = self._open_point(target, folder=stat.S_ISDIR(os.fstat(clone).st_mode))
                _attach_and_close(clone, point)
            case Tmpfs():
                self._mount_tmpfs(operation)
            case Proc(target=target):
                attributes = _SAFE | libc.MOUNT_ATTR_NOEXEC
                mount = libc.new_filesystem("proc", attributes)
                _attach_and_close(mount, self._open_point(target, folder=True))
            case File(target=target, content=content):
                folder, name = self._open_parent(target)
                descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444, dir_fd=folder)
                os.write(descriptor, content.encode())
                os.close(descriptor)
                os.close(folder)
            case Link(target=target, to=to):
                folder, name = self._open_parent(target)
                os.symlink(to, name, dir_fd=folder)
                os.close(folder)
            case Sysctl(target=target, value=value):
                folder, name = self._open_parent(target)
                descriptor = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder)
                os.write(descriptor, value.encode())
                os.close(descriptor)
                os.close(folder)
            case Freeze(target=target):
                self._freeze(target)

    def _mount_tmpfs(self, operation: Tmpfs) -> None:
        attributes = _SAFE
        if not operation.executable:
            attributes |= libc.MOUNT_ATTR_NOEXEC
        if not operation.writable:
            attributes |= libc.MOUNT_ATTR_RDONLY
        mode, size, inodes = f"{operation.mode:o}", str(operation.size), str(operation.inodes)
        mount = libc.new_filesystem("tmpfs", attributes, mode=mode, size=size, nr_inodes=inodes)
        self._own_devices.add(os.fstat(mount).st_dev)
        _attach_and_close(mount, self._open_point(operation.target, folder=True))

    def _freeze(self, target: str) -> None:
        point = self._open_point(target, folder=True)
        mount = libc.clone_tree_at(point)
        libc.set_mount_attributes(mount, libc.MOUNT_ATTR_RDONLY, recursive=True)
        _attach_and_close(mount, point)

    def _open_parent(self, target: str) -> tuple[int, str]:
        parent, name = os.path.split(target)
        return self._open_point(parent, folder=True), name

    def _open_point(self, target: str, *, folder: bool) -> int:
        """Open the mount point ``target``, making what is missing of it in file systems of our own."""
        *parents, last = [part for part in target.split("/") if part] or ["."]
        descriptor = os.dup(self._mount)
        for part in parents:
            descriptor = self._step(descriptor, part, folder=True)
        return self._step(descriptor, last, folder=folder)

    def _step(self, parent: int, name: str, *, folder: bool) -> int:
        flags = _FOLDER if folder else os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            try:
                return os.open(name, flags, dir_fd=parent)
            except FileNotFoundError:
                if os.fstat(parent).st_dev not in self._own_devices:
                    raise
            if folder:
                os.mkdir(name, 0o755, dir_fd=parent)
            else:
                os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444, dir_fd=parent))
            return os.open(name, flags, dir_fd=parent)
        finally:
            os.close(parent)


def _attach_and_close(mount: int, point: int) -> None:
    libc.attach_mount(mount, point)
    os.close(point)
    os.close(mount)
