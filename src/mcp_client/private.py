"""What is this program's own: small files that remember something, and places that no server may see.

A file that remembers something for the next run is believed only when nobody else can have written it.

Under sudo the home folder may belong to another user, who must not be able to talk root into anything by
way of what is remembered there.
"""

from __future__ import annotations

import os
import stat
import sys

from mcp_client import system
from mcp_client.light import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

if sys.platform == "darwin":
    from mcp_client.spelling import true_path
else:
    from os.path import realpath as true_path

__all__ = ("lies_in", "private_place", "read_private", "true_path", "write_private")

_WRITE = 2


def read_private(path: str, limit: int) -> bytes | None:
    """Up to ``limit`` bytes of a regular file of this user's that nobody else can write; None otherwise."""
    try:
        descriptor = system.open_fd(
            path, os.O_RDONLY | system.O_CLOEXEC | system.O_NOFOLLOW | system.O_NONBLOCK
        )
    except OSError:
        return None
    try:
        ours = stat.S_ISREG(os.fstat(descriptor).st_mode) and system.is_own(descriptor)
        return os.read(descriptor, limit) if ours and not system.exposure(descriptor) & _WRITE else None
    except OSError:
        return None
    finally:
        os.close(descriptor)


def write_private(path: str, data: bytes) -> bool:
    """Replace the file in one step; False, and nothing left behind, where it cannot be written.

    A folder that cannot be written costs the next run time, so nothing is raised.
    """
    staged = f"{path}.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        descriptor = system.open_fd(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | system.O_CLOEXEC, 0o600)
    except OSError:
        return False
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
        system.replace(staged, path)
    except OSError:
        _discard(staged)
        return False
    return True


def _discard(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return


def private_place(path: str, places: Iterable[str]) -> str | None:
    """The first of ``places``, this program's own files, that ``path`` would show; None when it shows none.

    It does when it holds one or lies in one, by its real path or as the same folder mounted elsewhere.
    """
    # Both spellings: what the path leads to can change between two looks.
    spellings = {os.path.abspath(path), true_path(path)}
    for place in places:
        own = true_path(place)
        if any(lies_in(one, own) or lies_in(own, one) or _same(one, own) for one in spellings):
            return own
    return None


def lies_in(path: str, folder: str) -> bool:
    """Whether the absolute ``path`` is ``folder`` or below it, by its text."""
    try:
        # As the system compares names; what is on another drive has nothing in common.
        common = os.path.commonpath([path, folder])
    except ValueError:
        return False
    return os.path.normcase(common) == os.path.normcase(folder)


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
