"""The end of a process beside a server: reaped always, and waited for only while nobody is in a hurry."""

import os
import select

import pytest

from mcp_client.background import Background


def start(*command: str) -> int:
    return os.posix_spawn(command[0], command, {})


def is_reaped(pid: int) -> bool:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


def test_it_is_reaped_in_the_supervisors_loop() -> None:
    pid = start("/bin/true")
    asking = Background(pid)
    poll = select.poll()
    asking.watch(poll)
    asking.move(poll, dict(poll.poll()))
    assert is_reaped(pid)
    asking.move(poll, {})
    asking.finish(None)


@pytest.mark.parametrize("urged", [False, True])
def test_a_hurry_ends_it(urged: bool) -> None:
    """Without one, somebody who sends a signal while it is waited for is in a hurry as well."""
    read, write = os.pipe()
    os.write(write, b"\x0f")
    pid = start("/bin/sleep", "600")
    Background(pid).finish(None if urged else read)
    assert is_reaped(pid)
    os.close(read)
    os.close(write)


def test_what_ends_by_itself_is_waited_for() -> None:
    read, write = os.pipe()
    pid = start("/bin/true")
    Background(pid).finish(read)
    assert is_reaped(pid)
    os.close(read)
    os.close(write)
