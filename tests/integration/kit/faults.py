"""Faults of the file system below one folder: a shim in C that kills or fails at the Nth call that writes."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from kit.build import built, run

PROGRAMS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "programs", "faults")
SOURCE = os.path.join(PROGRAMS, "faults.c")
KILL_BEFORE, KILL_AFTER = -1, -2
WHOLE = os.environ.get("MCP_TEST_FAULTS") == "all"


class Answer(NamedTuple):
    """How a call of ``mcp`` ended; ``count`` is None when it was killed."""

    status: int
    count: int | None
    stdout: str
    stderr: str


def shim() -> str:
    """Path of the library, for LD_PRELOAD."""
    with open(SOURCE) as opened:
        recipe = opened.read()

    def make(folder: str) -> None:
        run(["gcc", "-shared", "-fPIC", "-O1", "-o", os.path.join(folder, "faults.so"), SOURCE, "-ldl"])

    return os.path.join(built("faults", [recipe], make), "faults.so")


class Faults:
    """``mcp`` called in children of a process that has imported it already."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """``environment`` is what each call has, but for what is given with it."""
        self._process = subprocess.Popen(
            [sys.executable, os.path.join(PROGRAMS, "driver.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**environment, "LD_PRELOAD": shim()},
            text=True,
        )

    def call(
        self,
        *arguments: str,
        folder: str = "",
        at: int = 0,
        action: int = 0,
        sticky: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> Answer:
        """``mcp ARGUMENTS``, with a fault at the ``at``-th call that writes below ``folder``."""
        job: dict[str, Any] = {
            "environment": dict(environment or {}),
            "arguments": list(arguments),
            "folder": folder,
            "at": at,
            "action": action,
            "sticky": int(sticky),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the driver has died"
        return Answer(**json.loads(line))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(30)


def sample(count: int, most: int) -> Sequence[int]:
    """At most ``most`` of the numbers from 1 to ``count``; all of them with MCP_TEST_FAULTS=all."""
    if WHOLE or count <= most:
        return range(1, count + 1)
    return sorted({1 + round(n * (count - 1) / (most - 1)) for n in range(most)})
