"""Init passes signals on to the server by its process id, which is free once the server is waited for."""

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from mcp_client.errors import MCPError
from mcp_client.policy.model import DEFAULT_LIMITS, Policy
from mcp_client.runtimes.command import Command
from mcp_client.sandbox.linux.identity import UNPRIVILEGED_ID
from mcp_client.sandbox.linux.restricted.backend import RestrictedBackend
from mcp_client.sandbox.linux.restricted.descendants import children_of

# argv: a process id and a user. A process with both waits, unless somebody has that id (clone3(2), set_tid).
_STRANGER = """
import ctypes, errno, os, signal, sys
number, user = map(int, sys.argv[1:])
libc = ctypes.CDLL(None, use_errno=True)
wanted = ctypes.c_int(number)
arguments = (ctypes.c_uint64 * 11)()
arguments[4], arguments[8], arguments[9] = signal.SIGCHLD, ctypes.addressof(wanted), 1
child = libc.syscall(435, arguments, ctypes.sizeof(arguments))
if child == 0:
    os.setresuid(user, user, user)
    os.write(1, b"here\\n")
    signal.pause()
    os._exit(0)
if child < 0:
    taken = ctypes.get_errno() == errno.EEXIST
    os.write(1, b"taken\\n" if taken else b"failed\\n")
    sys.exit()
os.waitpid(child, 0)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root chooses the id of a process")
def test_a_signal_after_the_servers_end_reaches_no_stranger(restricted: str) -> None:
    for _ in range(20):
        if (alive := _signal_after_the_end(restricted)) is not None:
            assert alive, "it was sent the server's signal"
            return
    raise AssertionError("somebody had the server's number each time")


def _signal_after_the_end(restricted: str) -> bool | None:
    """Whether a stranger with the server's number lives after it; None when there was none."""
    with tempfile.TemporaryDirectory() as tree:
        os.chmod(tree, 0o755)
        obstacle = MCPError("sandbox-unavailable", "no namespaces", hint="allow namespaces")
        backend = RestrictedBackend(os.path.join(os.path.dirname(restricted), "filters"), obstacle)
        policy = Policy({}, False, DEFAULT_LIMITS, (), ())
        spec = backend.plan(Command(("/bin/true",), (), ()), policy, tree=tree, data=None)
        process = backend.launch(spec)
        process.await_ready()
        (server,) = children_of(process.pid)
        process.release()
        # Init has waited for the server by then, and waits for collect().
        assert process.next_event() == "ended"
        with _stranger(server) as handle:
            process.signal(signal.SIGUSR1)
            assert process.collect().status == 0
            return None if handle is None else not _has_ended(handle)


@contextmanager
def _stranger(number: int) -> Iterator[int | None]:
    """A process of the user that servers of root run as: its handle."""
    command = [sys.executable, "-I", "-S", "-c", _STRANGER, str(number), str(UNPRIVILEGED_ID)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        said = parent.stdout.readline()
        assert said in {"here\n", "taken\n"}
        handle = os.pidfd_open(number) if said == "here\n" else None
        try:
            yield handle
        finally:
            if handle is not None:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                os.close(handle)


def _has_ended(handle: int) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(300))
