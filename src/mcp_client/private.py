"""What is this program's own: small files that remember something, and places that no server may see.

A file that remembers something for the next run is believed only when nobody else can have written it.

Under sudo the home folder may belong to another user, who must not be able to talk root into anything by
way of what is remembered there.
"""

from __future__ import annotations

import os
import stat
import sys

from mcp_client.light import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

if sys.platform == "darwin":
    from mcp_client.spelling import true_path
else:
    from os.path import realpath as true_path

__all__ = ("private_place", "read_private", "true_path", "write_private")

_OTHERS_WRITE = 0o022


def read_private(path: str, limit: int) -> bytes | None:
    """Up to ``limit`` bytes of a regular file of this user's that nobody else can write; None otherwise."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
        return os.read(descriptor, limit) if ours and not found.st_mode & _OTHERS_WRITE else None
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
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
        os.replace(staged, path)
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
        if any(os.path.commonpath([one, own]) in {one, own} or _same(one, own) for one in spellings):
            return own
    return None


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
