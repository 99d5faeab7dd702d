"""The folder with everything this program keeps: where it is, and whether it may be believed."""

from __future__ import annotations

import os
import sys

from mcp_client import system
from mcp_client.errors import MCPError, printable
from mcp_client.light import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def user_folder(environ: Mapping[str, str]) -> str:
    """The user's home folder; raises ``config-unreadable`` where nobody knows it."""
    if environ.get("HOME"):
        return environ["HOME"]
    if sys.platform == "win32":
        return os.path.expanduser("~")
    import pwd

    try:
        found = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        found = ""
    if not os.path.isabs(found):
        raise MCPError(
            "config-unreadable",
            f"user {os.getuid()} has no home folder, so there is no place for settings and cache",
            hint="set HOME or MCP_HOME",
        )
    return found


def make_private(home: str) -> None:
    """Make the folder, closed to others whatever the umask; a failure is told where the folder is needed."""
    if not os.path.isdir(home):
        try:
            os.makedirs(home, mode=0o700, exist_ok=True)
            system.close_to_others(home)
        except OSError:
            return


def refuse_foreign(paths: Iterable[str]) -> None:
    """Root believes nobody else's settings: they name programs to execute. Raises ``config-unreadable``."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return
    for path in paths:
        try:
            owner = os.stat(path).st_uid
        except OSError:
            continue
        if owner != 0:
            raise MCPError(
                "config-unreadable",
                f"root does not use {printable(path)}, which belongs to user {owner}",
                hint="use sudo -H, or set MCP_HOME to a folder of root's",
            )
