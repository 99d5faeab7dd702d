"""Files and folders of the host that a user grants."""

from __future__ import annotations

import errno
import os
import stat
import sys

from mcp_client import system
from mcp_client.errors import MCPError
from mcp_client.light import TYPE_CHECKING
from mcp_client.policy.model import Folder
from mcp_client.private import private_place, true_path

if TYPE_CHECKING:
    from collections.abc import Collection

# A place that can be entered and not read can be granted all the same.
_LOOK = getattr(os, "O_PATH", os.O_RDONLY) | system.O_NOFOLLOW | system.O_CLOEXEC


def parse_mount(text: str, private: Collection[str]) -> Folder:
    """``HOST:INSIDE[:ro|rw]``, read-only unless it says otherwise. Raises ``mount-refused``.

    On Windows, where a folder is seen where it is: ``HOST[:ro|rw]``.
    """
    if sys.platform == "win32":
        place, separator, access = text.rpartition(":")
        if not separator or access not in {"ro", "rw"}:
            place, access = text, "ro"
        return grant_folder(place, None, writable=access == "rw", private=private)
    host, separator, rest = text.partition(":")
    inside, _, access = rest.partition(":")
    if not separator or not inside or access not in {"", "ro", "rw"}:
        raise MCPError(
            "mount-refused",
            f"not a mount: {text[:200]!r}",
            hint="write HOST:INSIDE, HOST:INSIDE:ro or HOST:INSIDE:rw",
        )
    if (
        not inside.startswith("/")
        or inside.startswith("//")
        or os.path.normpath(inside) != inside.rstrip("/")
        or "\0" in text
    ):
        raise MCPError(
            "mount-refused",
            f"the path inside must be absolute and plain: {inside[:200]!r}",
            hint="for example /mnt/data",
        )
    return grant_folder(host, inside.rstrip("/"), writable=access == "rw", private=private)


def grant_folder(host: str, inside: str | None, *, writable: bool, private: Collection[str]) -> Folder:
    """A grant of an existing path; without ``inside`` it appears at its own real path.

    ``private`` are the files and folders with this program's tokens, cache and records: a grant may neither
    hold one nor lie in one. Raises ``mount-refused``.
    """
    try:
        real, identity = _find(os.path.expanduser(host))
        own = private_place(real, private)
    except OSError as error:
        raise MCPError(
            "mount-refused", f"cannot use {host}: {error.strerror}", hint="create it first, or check its mode"
        ) from error
    if own is not None:
        raise MCPError(
            "mount-refused",
            f"{real} would show the server this program's own files ({own})",
            hint="grant a narrower folder",
        )
    if real == os.path.dirname(real):
        raise MCPError("mount-refused", "the whole file system cannot be granted", hint="grant a folder")
    return Folder(real, inside or real, writable, identity)


def _find(host: str) -> tuple[str, tuple[int, int]]:
    """The real path, and (st_dev, st_ino) of what is there, both of the same thing. Raises OSError.

    While somebody exchanges folders, a path that is looked up twice can mean two of them.
    """
    real = true_path(host, strict=True)
    descriptor = system.open_fd(real, _LOOK)
    try:
        found = os.fstat(descriptor)
        if sys.platform == "linux" and os.readlink(f"/proc/self/fd/{descriptor}") != real:
            raise OSError(errno.ESTALE, "it was exchanged while it was looked at", real)
    finally:
        os.close(descriptor)
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ESTALE, "it was exchanged while it was looked at", real)
    return real, (found.st_dev, found.st_ino)
