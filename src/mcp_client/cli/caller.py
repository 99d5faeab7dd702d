"""Who called, by which name, and what was left in a state that breaks us."""

from __future__ import annotations

import os
import sys

from mcp_client.light import signal


def take_stock_of_the_caller() -> None:
    """Occupy closed standard descriptors, reap children again, and listen to signals again.

    A file of ours that became descriptor 0, 1 or 2 would be handed to the server; a parent that ignores
    SIGCHLD breaks waitpid(2), and one that blocks SIGTERM makes us deaf; both survive exec.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one: those before it are taken by now.
            descriptor = os.open(os.devnull, os.O_RDONLY if mode == "r" else os.O_WRONLY)
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  for good
    if sys.platform == "win32":
        for stream in (sys.stdout, sys.stderr):
            # On a pipe it would be the machine's code page, with another kind of line end.
            stream.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    else:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])


def program_name() -> str:
    """The name this program was started by: ``mcp``, or ``mcp-client``."""
    name = sys.argv[0].replace("\\", "/").rpartition("/")[2].removesuffix(".exe") if sys.argv else ""
    return name if name.replace("-", "").replace("_", "").isalnum() and not name.startswith("-") else "mcp"


def completion_variable(name: str) -> str:
    """The environment variable by which a shell asks the program ``name`` for completions."""
    return f"_{name.replace('-', '_')}_COMPLETE".upper()
