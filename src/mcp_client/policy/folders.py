"""Files and folders of the host that a user grants."""

import os

from mcp_client.errors import MCPError
from mcp_client.policy.model import Folder


def parse_mount(text: str, home: str) -> Folder:
    """``HOST:INSIDE[:ro|rw]``, read-only unless it says otherwise. Raises ``mount-refused``."""
    host, separator, rest = text.partition(":")
    inside, _, access = rest.partition(":")
    if not separator or not inside or access not in {"", "ro", "rw"}:
        raise MCPError(
            "mount-refused",
            f"not a mount: {text[:200]!r}",
            hint="write HOST:INSIDE, HOST:INSIDE:ro or HOST:INSIDE:rw",
        )
    if not inside.startswith("/") or os.path.normpath(inside) != inside.rstrip("/") or "\0" in text:
        raise MCPError(
            "mount-refused",
            f"the path inside must be absolute and plain: {inside[:200]!r}",
            hint="for example /mnt/data",
        )
    return grant_folder(host, inside.rstrip("/"), writable=access == "rw", home=home)


def grant_folder(host: str, inside: str | None, *, writable: bool, home: str) -> Folder:
    """A grant of an existing path; without ``inside`` it appears at its own real path.

    ``home`` is the folder with this program's tokens, cache and records: a grant may neither hold it nor
    lie in it. Raises ``mount-refused``.
    """
    real = os.path.realpath(os.path.expanduser(host))
    if not os.path.exists(real):
        raise MCPError("mount-refused", f"no such file or folder: {host}", hint="create it first")
    own = os.path.realpath(home)
    if _within(own, real) or _within(real, own):
        raise MCPError(
            "mount-refused",
            f"{real} would show the server this program's own files ({own})",
            hint="grant a narrower folder",
        )
    if real == "/":
        raise MCPError("mount-refused", "the whole file system cannot be granted", hint="grant a folder")
    return Folder(real, inside or real, writable)


def _within(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder
