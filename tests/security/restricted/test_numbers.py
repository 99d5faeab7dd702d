"""Init passes signals on to the server by its process id, which is free once the server is waited for."""

import os
import signal
import tempfile

import pytest

from mcp_client.errors import MCPError
from mcp_client.policy.model import DEFAULT_LIMITS, Policy
from mcp_client.runtimes.command import Command
from mcp_client.sandbox.linux.identity import UNPRIVILEGED_ID
from mcp_client.sandbox.linux.restricted.backend import RestrictedBackend
from mcp_client.sandbox.linux.restricted.descendants import children_of

_LAST = "/proc/sys/kernel/ns_last_pid"


@pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists(_LAST), reason="chooses the next process id")
def test_a_signal_after_the_servers_end_reaches_no_stranger(restricted: str) -> None:
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
        stranger = _fork_as(server)
        try:
            process.signal(signal.SIGUSR1)
            assert process.collect().status == 0
            assert os.waitpid(stranger, os.WNOHANG) == (0, 0), "it was sent the server's signal"
        finally:
            os.kill(stranger, signal.SIGKILL)
            os.waitpid(stranger, 0)


def _fork_as(number: int) -> int:
    """A process of the user that servers of root run as, with that very id (pid_namespaces(7))."""
    for _ in range(100):
        with open(_LAST, "w") as file:
            file.write(str(number - 1))
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                # Init would wait for the pipes that it shares with us.
                os.closerange(3, write)
                os.closerange(write + 1, 4096)
                if os.getpid() == number:
                    os.setresuid(UNPRIVILEGED_ID, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
                    os.write(write, b"\0")
                    signal.pause()
            finally:
                os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            if pipe.read(1):
                return child
        os.waitpid(child, 0)
    raise AssertionError(f"the number {number} was not to be had")
