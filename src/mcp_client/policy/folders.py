"""Files and folders of the host that a user grants."""

import os
from collections.abc import Collection

from mcp_client.errors import MCPError
from mcp_client.policy.model import Folder
from mcp_client.private import private_place


def parse_mount(text: str, private: Collection[str]) -> Folder:
    """``HOST:INSIDE[:ro|rw]``, read-only unless it says otherwise. Raises ``mount-refused``."""
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
        real = os.path.realpath(os.path.expanduser(host))
        status = os.stat(real)
    except OSError as error:
        raise MCPError(
            "mount-refused", f"cannot use {host}: {error.strerror}", hint="create it first, or check its mode"
        ) from error
    own = private_place(real, private)
    if own is not None:
        raise MCPError(
            "mount-refused",
            f"{real} would show the server this program's own files ({own})",
            hint="grant a narrower folder",
        )
    if real == "/":
        raise MCPError("mount-refused", "the whole file system cannot be granted", hint="grant a folder")
    return Folder(real, inside or real, writable, (status.st_dev, status.st_ino))
