"""Files as POSIX knows them: open ones are renamed and removed, locks go with a process, bytes stay bytes."""

import os
import subprocess
import sys

import pytest

from mcp_client import private, system
from mcp_client.windows import owners

HOLD = """
import sys
from mcp_client import system
kind = {"shared": system.LOCK_SH, "alone": system.LOCK_EX}[sys.argv[2]]
held = system.lock_folder(sys.argv[1], kind)
print("held", flush=True)
sys.stdin.read()
"""
FLOCK = """
import os, sys
from mcp_client import system
held = system.open_fd(sys.argv[1], os.O_RDWR | os.O_CREAT | system.O_CLOEXEC)
system.flock(held, system.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder():
    """A function: another process that holds what the program says."""
    started = []

    def hold(program, *arguments):
        command = [sys.executable, "-c", program, *map(str, arguments)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline().strip() == b"held"
        return process

    yield hold
    for process in started:
        process.kill()
        process.stdin.close()
        process.stdout.close()
        process.wait()


def test_bytes_are_never_translated(tmp_path):
    path = str(tmp_path / "file")
    descriptor = system.open_fd(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | system.O_CLOEXEC)
    os.write(descriptor, b"a\nb\r\nc\x1ad")
    assert system.pread(descriptor, 100, 2) == b"b\r\nc\x1ad"
    os.close(descriptor)

    assert (tmp_path / "file").read_bytes() == b"a\nb\r\nc\x1ad"


def test_appended_records_come_after_what_others_wrote(tmp_path):
    path = str(tmp_path / "log")
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | system.O_CLOEXEC
    one, two = (system.open_fd(path, flags) for _ in range(2))
    for descriptor, data in ((one, b"1"), (two, b"2"), (one, b"3")):
        os.write(descriptor, data)
    os.close(one)
    os.close(two)

    assert (tmp_path / "log").read_bytes() == b"123"


def test_an_open_file_is_renamed_replaced_and_removed(tmp_path):
    path, other = str(tmp_path / "file"), str(tmp_path / "other")
    descriptor = system.open_fd(path, os.O_RDWR | os.O_CREAT | system.O_CLOEXEC)
    (tmp_path / "other").write_bytes(b"older")

    system.replace(path, other)
    os.write(descriptor, b"newer")

    assert (tmp_path / "other").read_bytes() == b"newer"
    assert os.fstat(descriptor).st_ino == os.stat(other).st_ino
    os.unlink(other)
    os.close(descriptor)
    assert not os.path.exists(other)


def test_no_file_is_inherited(tmp_path):
    descriptor = system.open_fd(str(tmp_path / "file"), os.O_RDWR | os.O_CREAT | system.O_CLOEXEC)
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_a_lock_keeps_others_out_until_its_process_is_killed(tmp_path, holder):
    path = str(tmp_path / "lock")
    process = holder(FLOCK, path)
    descriptor = system.open_fd(path, os.O_RDWR | system.O_CLOEXEC)

    with pytest.raises(BlockingIOError):
        system.flock(descriptor, system.LOCK_EX | system.LOCK_NB)
    process.kill()
    process.wait()
    system.flock(descriptor, system.LOCK_EX)
    os.close(descriptor)


def test_a_lock_is_in_no_readers_way(tmp_path, holder):
    path = tmp_path / "lock"
    path.write_bytes(b"read me")
    holder(FLOCK, path)

    assert path.read_bytes() == b"read me"


def test_a_folder_in_use_is_neither_removed_nor_locked_alone(tmp_path, holder):
    folder = tmp_path / "tree"
    folder.mkdir()
    process = holder(HOLD, folder, "shared")

    again = system.lock_folder(str(folder), system.LOCK_SH | system.LOCK_NB)
    os.close(again)
    with pytest.raises(BlockingIOError):
        system.lock_folder(str(folder), system.LOCK_EX | system.LOCK_NB)
    with pytest.raises(OSError):
        os.rename(folder, tmp_path / "away")

    process.kill()
    process.wait()
    alone = system.lock_folder(str(folder), system.LOCK_EX)
    os.rename(folder, tmp_path / "away")
    os.close(alone)


def test_a_folder_locked_alone_is_nobody_elses(tmp_path, holder):
    folder = tmp_path / "tree"
    folder.mkdir()
    holder(HOLD, folder, "alone")

    for kind in (system.LOCK_SH, system.LOCK_EX):
        with pytest.raises(BlockingIOError):
            system.lock_folder(str(folder), kind | system.LOCK_NB)


def test_a_file_of_ours_is_closed_to_others(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"s")
    owners.close_to_others(str(path))
    descriptor = system.open_fd(str(path), os.O_RDONLY | system.O_CLOEXEC)

    assert system.is_own(descriptor)
    assert system.exposure(descriptor) == 0
    os.close(descriptor)


def test_what_others_may_write_is_not_believed(tmp_path):
    path = str(tmp_path / "memo")
    assert private.write_private(path, b"ours")
    system.close_to_others(path)
    assert private.read_private(path, 100) == b"ours"

    everyone = f"D:P(A;;FA;;;{owners.account_sid()})(A;;FA;;;WD)"
    owners.apply(path, everyone, owners.DACL)

    assert private.read_private(path, 100) is None


@pytest.mark.parametrize("place", [r"C:\Users", "c:/users/", r"C:\users\..\Users"])
def test_a_private_place_is_known_by_every_spelling(place):
    assert private.private_place(place, [r"C:\Users\somebody\.mcp"])
    assert private.private_place(place, [r"D:\elsewhere"]) is None
