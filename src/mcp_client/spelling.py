"""The one spelling of a path on macOS, whose volumes take several for the same."""

import fcntl
import os
import sys

_LONGEST_PATH = 1024

if sys.platform == "darwin":

    def true_path(path: str, *, strict: bool = False) -> str:
        """``path`` without links, in the case and the normal form that are on the disk.

        On most volumes ``~/.MCP`` is ``~/.mcp``, and whoever compares spellings would take them for two.
        With ``strict``, what does not exist raises OSError.
        """
        real = os.path.realpath(path, strict=strict)
        try:
            descriptor = os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError:
            # What cannot be opened is in a folder that can.
            parent, name = os.path.split(real)
            return real if parent == real else os.path.join(true_path(parent), name)
        try:
            return os.fsdecode(fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(_LONGEST_PATH)).rstrip(b"\0"))
        finally:
            os.close(descriptor)
