"""Limits and defaults of the server's process, and what happens when one is passed."""

import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from arena.sandbox import SMALL, attempt_inside, attempt_outside, placed, run_command, run_inside

from mcp_client.errors import MCPError
from mcp_client.policy.model import DEFAULT_LIMITS
from mcp_client.runtimes.command import Command
from mcp_client.sandbox.linux.launcher import LinuxProcess

# What a server has at most.
RLIMITS = {
    "CORE": 1,
    "DATA": DEFAULT_LIMITS.memory,
    "FSIZE": 4 << 30,
    "MEMLOCK": 64 << 10,
    "MSGQUEUE": 0,
    "NICE": 0,
    "NOFILE": DEFAULT_LIMITS.files,
    "NPROC": 256,
    "RTPRIO": 0,
    "SIGPENDING": 1024,
}
# Signals 32 and 33 are the C library's own: posix_spawn(3) leaves them ignored, no program can reach them.
OF_LIBC = 0b11 << 31
# Zero for users, and root may not be able to raise them here.
RARELY_GIVEN = {"NICE", "RTPRIO"}


@pytest.mark.parametrize("name", RLIMITS)
def test_the_rlimit_is_low_of(name: str) -> None:
    body = "import resource; return resource.getrlimit(target)"
    number = getattr(resource, f"RLIMIT_{name}")
    most = RLIMITS[name]
    if name == "DATA" and _cgroup_holds_memory():
        # It counts what is used; the rlimit only bounds what is asked for and not used.
        most *= 4
    with _as_high_as_may_be(number):
        soft, hard = attempt_inside(body, number).got
        assert 0 <= soft <= most
        assert 0 <= hard <= most
        if name not in RARELY_GIVEN:
            outside = attempt_outside(body, number).got[1]
            assert outside == resource.RLIM_INFINITY or outside > most


def _cgroup_holds_memory() -> bool:
    controls = {control.name: control.state for control in run_inside("").controls}
    return controls["memory"] == "enforced"


@contextmanager
def _as_high_as_may_be(limit: int) -> Iterator[None]:
    saved = resource.getrlimit(limit)
    try:
        resource.setrlimit(limit, (saved[0], max(saved[1], 30) if saved[1] >= 0 else saved[1]))
    except ValueError:
        # Nobody may raise it here.
        assert resource.getrlimit(limit) == saved
    try:
        yield
    finally:
        resource.setrlimit(limit, saved)


def test_a_server_gets_a_part_of_inotify() -> None:
    body = """
        names = ('max_inotify_instances', 'max_inotify_watches')
        return [int(open('/proc/sys/user/' + name).read()) for name in names]
    """
    instances, watches = attempt_inside(body).got
    assert (instances, watches) == (32, 16384)
    assert attempt_outside(body).got[0] > 32
    use = "return len([libc.inotify_init1(0) for _ in range(target) if libc.inotify_init1(0) >= 0])"
    assert attempt_inside(use, 30).got <= 16
    assert attempt_outside(use, 30).got == 30


def test_a_datagram_socket_is_no_standard_input() -> None:
    """A local one can send to every other by its name."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        with ours, theirs, placed({0: theirs.fileno()}):
            if kind == socket.SOCK_STREAM:
                assert attempt_inside("return 1").got == 1
            else:
                with pytest.raises(MCPError, match="socket"):
                    attempt_inside("return 1")


def test_signals_are_neither_blocked_nor_ignored() -> None:
    argv = ("/usr/bin/grep", "^Sig[BI]", "/proc/self/status")
    saved = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    try:
        inside = run_command(Command(argv, (), ())).output
        outside = subprocess.run(argv, capture_output=True, check=True, restore_signals=False).stdout
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGUSR1, saved)
    assert [int(line.split()[1], 16) & ~OF_LIBC for line in inside.splitlines()] == [0, 0]
    assert all(int(line.split()[1], 16) for line in outside.splitlines())


def test_the_umask_hides_new_files_from_others() -> None:
    saved = os.umask(0)
    try:
        assert attempt_outside("return os.umask(0)").got == 0
        assert attempt_inside("return os.umask(0)").got == 0o077
    finally:
        os.umask(saved)


def test_the_server_goes_first_when_memory_runs_out() -> None:
    body = "return int(open('/proc/self/oom_score_adj').read())"
    assert attempt_inside(body).got == 1000
    assert attempt_outside(body).got < 1000


FILL = """
import mmap, os, signal, sys
size = int(sys.argv[1]) << 20
file = os.memfd_create('filler')
os.ftruncate(file, size)
page = mmap.mmap(file, size)
for at in range(0, size, 4096):
    page[at] = 1
if size > 64 << 20:
    signal.alarm(15)
    signal.pause()
"""


def test_memory_that_is_not_data_counts_too() -> None:
    inside = run_inside(FILL, ["96"], limits=SMALL)
    assert inside.exit.out_of_memory
    assert inside.exit.signal == signal.SIGKILL
    spared = run_inside(FILL, ["8"], limits=SMALL)
    assert not spared.exit.out_of_memory
    assert spared.exit.status == 0


def test_what_is_not_executed_yet_is_not_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forked from a large process, and held for a while: on paper it has the memory of that."""
    ours = bytearray(b"x") * (2 * SMALL.memory)
    release = LinuxProcess.release

    def release_later(process: LinuxProcess) -> None:
        time.sleep(0.4)
        release(process)

    monkeypatch.setattr(LinuxProcess, "release", release_later)
    inside = run_inside("print(1)", limits=SMALL)
    assert len(ours) > SMALL.memory
    assert inside.output == b"1\n", inside


def test_a_share_of_the_processor_is_kept_by_standing_still() -> None:
    """Where init keeps it, the server is continued after each stop, which it can catch."""
    program = """
import signal, time
seen = []
signal.signal(signal.SIGCONT, lambda *_: seen.append(1))
while not seen and time.process_time() < 1.5:
    pass
print(len(seen))
"""
    inside = run_inside(program, limits=DEFAULT_LIMITS._replace(cpu=100))
    spared = run_inside(program.replace("< 1.5", "< 0.3"), limits=DEFAULT_LIMITS._replace(cpu=64000))
    (control,) = [control for control in inside.controls if control.name == "cpu"]
    assert inside.output == (b"1\n" if control.state == "degraded" else b"0\n")
    assert spared.output == b"0\n"


def test_who_asks_too_often_for_a_program_is_not_heard_any_more() -> None:
    body = """
        heard = []
        for _ in range(150):
            try:
                os.execv('/bin/true', ['true'])
            except OSError as error:
                heard.append(errno.errorcode[error.errno])
        return [heard[0], heard[-1]]
    """
    assert attempt_inside(body).got == ["EPERM", "ENOSYS"]
