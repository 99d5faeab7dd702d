"""Processes of ours on Windows: started beside a server, and gone with whoever started them."""

import os
import sys
from collections.abc import Mapping
from ctypes import byref, c_void_p
from subprocess import BELOW_NORMAL_PRIORITY_CLASS, CREATE_NO_WINDOW, DEVNULL, Popen
from threading import Thread

from mcp_client.windows import api
from mcp_client.windows import structures as s


class Helper:
    """A short-lived Python of ours, with nothing of the session but standard error."""

    due_at: float | None = None

    def __init__(self, code: str, environment: Mapping[str, str]) -> None:
        """Start it. Raises OSError."""
        self._process = Popen(  # noqa: S603  this very program
            [sys.executable, "-I", "-c", code],
            env=dict(environment),
            stdin=DEVNULL,
            stdout=DEVNULL,
            creationflags=CREATE_NO_WINDOW | BELOW_NORMAL_PRIORITY_CLASS,
        )

    def finish(self, signals: int | None, seconds: float) -> None:
        """Give it ``seconds``, or until the event ``signals``; None gives it none. Then it is ended."""
        if signals is not None and self._process.poll() is None:
            handles = (c_void_p * 2)(int(self._process._handle), signals)  # type: ignore[attr-defined]  # noqa: SLF001
            api.WaitForMultipleObjects(2, handles, False, round(seconds * 1000))
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


def begun(process: int) -> int:
    """When the process with this handle began, in units of 100 ns."""
    times = [s.FILETIME() for _ in range(4)]
    api.GetProcessTimes(process, *map(byref, times))
    return int(times[0].dwHighDateTime) << 32 | int(times[0].dwLowDateTime)


def open_parent() -> int | None:
    """A handle of the process that started us; None when it has ended.

    A process number that was given anew belongs to one that is younger than we are.
    """
    access = s.SYNCHRONIZE | s.PROCESS_QUERY_LIMITED_INFORMATION
    try:
        parent = int(api.OpenProcess(access, False, os.getppid()))
        if begun(parent) <= begun(api.GetCurrentProcess()):
            return parent
        api.CloseHandle(parent)
    except OSError:
        pass
    return None


def leave_with_parent(seconds: float) -> None:
    """End this process when its parent ends, and after ``seconds`` at the latest."""
    parent = open_parent()
    if parent is None:
        sys.exit(0)

    def wait() -> None:
        api.WaitForSingleObject(parent, round(seconds * 1000))
        os._exit(0)

    Thread(target=wait, daemon=True).start()
