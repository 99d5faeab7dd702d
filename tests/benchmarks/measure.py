"""What all benchmarks share: contenders that take turns, medians with quartiles, and a server's answer."""

import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, NamedTuple, TypeVar

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
sys.path[:0] = [os.path.join(TESTS, "integration"), os.path.join(TESTS, "security")]

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "benchmark", "version": "1.0.0"},
    },
}
MESSAGE = json.dumps(INITIALIZE).encode() + b"\n"
# Some peers start for seconds; one that takes longer is not there.
PATIENCE = 60.0

_Result = TypeVar("_Result")


class Scale(NamedTuple):
    """How much is done: ``turns`` of what is compared, and ``share`` of the usual sizes and counts."""

    turns: int
    share: float

    def of(self, count: int) -> int:
        """A size or count, made smaller where haste is wanted."""
        return max(1, round(count * self.share))


class Contender(NamedTuple):
    """One way to start one server; ``env`` is complete."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]


class Spread(NamedTuple):
    """Median and quartiles of some measurements."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """At least one value."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        return cls(*statistics.quantiles(values, n=4, method="inclusive"))

    def cells(self, digits: int = 1) -> tuple[str, str]:
        """The median, and the quartiles in one cell."""
        return f"{self.median:.{digits}f}", f"{self.low:.{digits}f} .. {self.high:.{digits}f}"


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def take_turns(
    contenders: Mapping[str, Callable[[], _Result]], turns: int, *, warm_up: int = 1
) -> dict[str, list[_Result]]:
    """Results of each contender, all in turn and another one first each time.

    So a busy moment of the machine hits each alike. What the first turns take, which fill caches, is left
    out.
    """
    taken: dict[str, list[_Result]] = {name: [] for name in contenders}
    order = list(contenders)
    for turn in range(turns + warm_up):
        at = turn % len(order)
        for name in order[at:] + order[:at]:
            found = contenders[name]()
            if turn >= warm_up:
                taken[name].append(found)
    return taken


@contextlib.contextmanager
def started(one: Contender) -> "Iterator[subprocess.Popen[bytes]]":
    """The process, with pipes for input and output; it is ended by the end of its input, or else killed."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        one.command, env=one.env, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
            streams(process)[0].close()
            process.wait(PATIENCE)
        finally:
            process.kill()


@contextlib.contextmanager
def answered(one: Contender) -> "Iterator[subprocess.Popen[bytes]]":
    """The same once it has answered ``initialize``. Raises RuntimeError when it answers something else."""
    with started(one) as process:
        given, taken = streams(process)
        with contextlib.suppress(BrokenPipeError):
            given.write(MESSAGE)
            given.flush()
        if b'"result"' not in taken.readline():
            raise RuntimeError(f"{one.name} did not answer: {' '.join(one.command)}")
        yield process


def streams(process: "subprocess.Popen[bytes]") -> tuple[IO[bytes], IO[bytes]]:
    """Input and output of a process that was started with pipes."""
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def time_until_answer(one: Contender) -> float:
    """Milliseconds from before the spawn to the first complete line of the answer."""
    began = time.perf_counter()
    with answered(one):
        return (time.perf_counter() - began) * 1000
