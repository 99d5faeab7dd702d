"""Init and its supervisor: sessions, death, and descriptors that the caller had closed."""

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from arena.sandbox import filter_folder, run_inside

from mcp_client.policy.model import DEFAULT_LIMITS, Policy
from mcp_client.runtimes.command import Command
from mcp_client.sandbox.linux import libc
from mcp_client.sandbox.linux.backend import LinuxBackend
from mcp_client.sandbox.linux.launcher import LinuxProcess

_SECONDS = 20
# Landlock refuses the signal where it can (Linux 6.12).
SEND = """
import os, signal, time
try:
    os.kill(1, signal.SIGVTALRM)
except PermissionError:
    pass
time.sleep(0.1)
print("still here")
"""


@contextmanager
def _ready() -> Iterator[LinuxProcess]:
    with tempfile.TemporaryDirectory() as tree:
        os.chmod(tree, 0o755)
        backend = LinuxBackend(filter_folder())
        policy = Policy({}, False, DEFAULT_LIMITS, (), ())
        spec = backend.plan(Command(("/bin/true",), (), ()), policy, tree=tree, data=None)
        process = backend.launch(spec)
        process.await_ready()
        try:
            yield process
        finally:
            process.kill()
            process.collect()


def test_init_is_not_in_the_session_of_its_supervisor() -> None:
    """A key pressed at the terminal must not end it behind the supervisor's back."""
    with _ready() as process:
        assert os.getsid(process.pid) != os.getsid(0)
        assert os.getpgid(process.pid) != os.getpgid(0)


def test_a_handler_of_the_supervisor_is_none_of_init() -> None:
    """The server may send init every signal, and a handler that raises would end it."""

    def handler(number: int, _frame: object) -> None:
        raise RuntimeError(f"signal {number}")

    before = signal.signal(signal.SIGVTALRM, handler)
    try:
        with pytest.raises(RuntimeError):
            os.kill(os.getpid(), signal.SIGVTALRM)
        inside = run_inside(SEND)
    finally:
        signal.signal(signal.SIGVTALRM, before)
    assert (inside.output, inside.exit.status) == (b"still here\n", 0)


def test_an_init_that_stands_still_dies_with_its_supervisor() -> None:
    """It cannot notice anything itself then: it is the kernel that ends it."""
    libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
    read, write = os.pipe()
    supervisor = os.fork()
    if supervisor == 0:
        try:
            with _ready() as process:
                os.write(write, f"{process.pid}\n".encode())
                signal.pause()
        finally:
            os._exit(1)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        init = int(pipe.readline())
    try:
        os.kill(init, signal.SIGSTOP)
        assert not _ended(init, seconds=0.05)
    finally:
        os.kill(supervisor, signal.SIGKILL)
        os.waitpid(supervisor, 0)
    ended = _ended(init, seconds=_SECONDS)
    if not ended:
        os.kill(init, signal.SIGKILL)
        os.waitpid(init, 0)
    assert ended


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_descriptor_that_the_caller_had_closed_is_none_of_ours(number: int) -> None:
    """Otherwise a pipe of the set-up takes its place, and the server inherits it."""
    with _ready():
        kept = os.readlink(f"/proc/self/fd/{number}")
    saved = os.dup(number)
    try:
        os.close(number)
        with _ready():
            filled = os.readlink(f"/proc/self/fd/{number}")
    finally:
        os.dup2(saved, number)
        os.close(saved)
    assert filled == "/dev/null"
    assert os.readlink(f"/proc/self/fd/{number}") == kept


def _ended(pid: int, *, seconds: float) -> bool:
    """Whether it ends in time; reaped if it is ours by then."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if os.waitpid(pid, os.WNOHANG)[0]:
                return True
        except ChildProcessError:
            # Still its supervisor's child.
            if not os.path.exists(f"/proc/{pid}"):
                return True
        time.sleep(0.005)
    return False
