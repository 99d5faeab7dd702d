import fcntl
import hashlib
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import threading

import pytest

from mcp_client.audit.log import AuditLog
from mcp_client.config.settings import AuditSettings
from mcp_client.errors import MCPError


@pytest.fixture
def file(tmp_path):
    return str(tmp_path / "home" / "audit.log")


def log(file, max_size=10_000_000, keep=5):
    return AuditLog(AuditSettings(file, max_size, keep))


def lines(file):
    with open(file, "rb") as opened:
        return opened.read().splitlines()


def records(file):
    return [json.loads(line) for line in lines(file)]


def unwritable(file, record=None):
    with pytest.raises(MCPError) as caught:
        log(file).append(record or {"n": 1})
    assert caught.value.code == "audit-unwritable"
    assert file in caught.value.message
    assert caught.value.hint
    return caught.value.message


def test_each_record_is_bound_to_the_line_before_it(file):
    for n in range(3):
        log(file).append({"n": n, "text": "é\n"})
    first, second, third = lines(file)
    assert [json.loads(line)["n"] for line in (first, second, third)] == [0, 1, 2]
    assert json.loads(first)["prev"] is None
    assert json.loads(second)["prev"] == "sha256:" + hashlib.sha256(first).hexdigest()
    assert json.loads(third)["prev"] == "sha256:" + hashlib.sha256(second).hexdigest()
    assert log(file).verify() == (3, ())


def test_a_record_cannot_choose_its_own_link(file):
    log(file).append({"prev": "sha256:forged", "n": 0})
    log(file).append({"prev": "sha256:forged", "n": 1})
    assert log(file).verify() == (2, ())


@pytest.mark.parametrize("umask", [0, 0o777])
def test_file_and_folder_are_private_whatever_the_umask(file, umask):
    before = os.umask(umask)
    try:
        if umask:
            os.makedirs(os.path.dirname(file), 0o700, exist_ok=True)
            os.chmod(os.path.dirname(file), 0o700)
        log(file).append({"n": 1})
        log(file).append({"n": 2})
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(file)).st_mode) == 0o700


@pytest.mark.parametrize("length", [1, 8_000, 8_191, 8_192, 8_193, 100_000])
def test_a_long_line_is_hashed_whole(file, length):
    log(file).append({"n": 0})
    log(file).append({"text": "x" * length})
    log(file).append({"n": 2})
    assert records(file)[2]["prev"] == "sha256:" + hashlib.sha256(lines(file)[1]).hexdigest()
    assert log(file).verify() == (3, ())


def test_an_empty_chain_is_whole(file):
    assert log(file).verify() == (0, ())


def change(lines):
    lines[1] = lines[1].replace(b'"n":1', b'"n":7')


def remove(lines):
    del lines[1]


def insert(lines):
    lines.insert(2, lines[0])


def swap(lines):
    lines[1], lines[2] = lines[2], lines[1]


def blank(lines):
    lines[1] = b""


def nonsense(lines):
    lines[1] = b"[" * 100_000


@pytest.mark.parametrize("tamper", [change, remove, insert, swap, blank, nonsense])
def test_tampering_shows(file, tamper):
    for n in range(4):
        log(file).append({"n": n})
    kept = lines(file)
    tamper(kept)
    with open(file, "wb") as opened:
        opened.write(b"\n".join(kept) + b"\n")
    problems = log(file).verify().problems
    assert problems
    assert problems[0].startswith("audit.log, line ")


def test_a_torn_line_is_closed_reported_and_part_of_the_chain(file):
    log(file).append({"n": 0})
    with open(file, "ab") as opened:
        opened.write(b'{"n":1,"to')
    assert log(file).verify() == (1, ("audit.log, line 2: not a record: torn by a crash, or changed",))
    log(file).append({"n": 2})
    log(file).append({"n": 3})
    assert [json.loads(line)["n"] for line in (lines(file)[0], *lines(file)[2:])] == [0, 2, 3]
    chain = log(file).verify()
    assert chain.records == 3
    assert chain.problems == ("audit.log, line 2: not a record: torn by a crash, or changed",)


def test_a_record_that_only_lost_its_newline_is_whole(file):
    log(file).append({"n": 0})
    os.truncate(file, os.path.getsize(file) - 1)
    log(file).append({"n": 1})
    assert log(file).verify() == (2, ())


def test_rotation_keeps_the_chain_and_no_more_files_than_asked(file):
    for n in range(60):
        log(file, max_size=1000, keep=3).append({"n": n, "text": "x" * 50})
    folder = os.path.dirname(file)
    assert sorted(os.listdir(folder)) == ["audit.log", "audit.log.1", "audit.log.2", "audit.log.3"]
    assert all(os.path.getsize(os.path.join(folder, name)) <= 1000 for name in os.listdir(folder))
    numbers = [record["n"] for suffix in (".3", ".2", ".1", "") for record in records(file + suffix)]
    assert numbers == list(range(numbers[0], 60))
    assert log(file).verify() == (len(numbers), ())


def test_a_record_larger_than_a_file_is_written(file):
    for n in range(3):
        log(file, max_size=100).append({"n": n, "text": "x" * 500})
    assert log(file).verify() == (3, ())


def test_a_removed_rotated_file_shows(file):
    for n in range(30):
        log(file, max_size=1000).append({"n": n, "text": "x" * 50})
    os.unlink(f"{file}.2")
    assert log(file).verify().problems == (
        "audit.log.1, line 1: does not follow the line before it: one was changed, removed or inserted",
    )


def test_a_rotation_cut_short_leaves_a_gap_and_no_break(file):
    for n in range(30):
        log(file, max_size=1000).append({"n": n, "text": "x" * 50})
    last = max(
        int(name.rpartition(".")[2]) for name in os.listdir(os.path.dirname(file)) if name[-1].isdigit()
    )
    for number in range(last, 0, -1):
        os.rename(f"{file}.{number}", f"{file}.{number + 1}")
    for n in range(30):
        log(file, max_size=1000, keep=20).append({"n": n, "text": "x" * 50})
    assert log(file).verify() == (60, ())


WRITER = """
import sys
from mcp_client.audit.log import AuditLog
from mcp_client.config.settings import AuditSettings
log = AuditLog(AuditSettings(sys.argv[1], int(sys.argv[4]), 10_000))
for n in range(int(sys.argv[3])):
    log.append({"writer": sys.argv[2], "n": n, "text": "x" * (n * 37 % 900)})
    print(n, flush=True)
"""


def writer(file, name, count, max_size):
    command = [sys.executable, "-c", WRITER, file, str(name), str(count), str(max_size)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def all_records(file):
    folder = os.path.dirname(file)
    names = sorted(os.listdir(folder), key=lambda name: -int(name[10:] or 0))
    found = []
    for name in names:
        for line in lines(os.path.join(folder, name)):
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    return found


def test_many_processes_write_one_chain_through_many_rotations(file):
    writers = [writer(file, name, 40, 5000) for name in range(8)]
    for process in writers:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    chain = log(file).verify()
    assert chain == (320, ())
    for name in range(8):
        assert [r["n"] for r in all_records(file) if r["writer"] == str(name)] == list(range(40))


def test_threads_write_one_chain(file):
    threads = [
        threading.Thread(target=lambda: [log(file, 2000, 1000).append({"n": n}) for n in range(20)])
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log(file).verify() == (120, ())


def test_what_was_acknowledged_survives_kill_9_and_the_rest_goes_on(file):
    for turn in range(8):
        process = writer(file, turn, 10_000, 3000)
        for _ in range(turn * 3 + 1):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        # Not communicate(): it would miss what readline() has read ahead.
        with process:
            rest = process.stdout.read()
        acknowledged = turn * 3 + 1 + rest.count(b"\n")
        mine = [r["n"] for r in all_records(file) if r["writer"] == str(turn)]
        assert mine == list(range(len(mine)))
        assert len(mine) in (acknowledged, acknowledged + 1)
    log(file).append({"writer": "last", "n": 0})
    chain = log(file).verify()
    assert chain.records == len(all_records(file))
    assert all("torn" in problem for problem in chain.problems)


def test_a_lock_that_is_never_released_ends_in_an_error(file, monkeypatch):
    monkeypatch.setattr("mcp_client.audit.log._LOCK_SECONDS", 0.05)
    log(file).append({"n": 0})
    with open(file, "rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        assert "locked by another process" in unwritable(file)
        assert log(file).verify().problems == (f"{file}: locked by another process",)
    log(file).append({"n": 1})
    assert log(file).verify() == (2, ())


def test_a_full_disk_leaves_the_log_as_it_was(file):
    for n in range(5):
        log(file).append({"n": n})
    size = os.path.getsize(file)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, hard))
    try:
        unwritable(file, {"text": "x" * 500})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.path.getsize(file) == size
    log(file).append({"n": 5})
    assert log(file).verify() == (6, ())


@pytest.mark.parametrize("record", [{"x": float("nan")}, {"x": object()}, {"x": b""}, {(1,): 2}])
def test_what_is_no_json_is_not_written(file, record):
    unwritable(file, record)
    assert not os.path.exists(file)


def test_a_link_is_not_followed(file, tmp_path):
    os.makedirs(os.path.dirname(file))
    os.symlink(tmp_path / "elsewhere", file)
    unwritable(file)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_regular_file_is_refused_and_does_not_hang(file, make):
    os.makedirs(os.path.dirname(file))
    make(file)
    unwritable(file)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    unwritable(str(tmp_path / "file" / "audit.log"))


UNPRIVILEGED = """
import os, sys
from mcp_client.audit.log import AuditLog
from mcp_client.config.settings import AuditSettings
from mcp_client.errors import MCPError
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    AuditLog(AuditSettings(sys.argv[1])).append({"n": 1})
except MCPError as error:
    print(error.code, error.message)
"""


def test_a_folder_or_file_without_permission_is_an_error():
    # Not below tmp_path, which another user cannot enter.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        file = os.path.join(folder, "audit.log")
        os.chmod(folder, 0o555)
        command = [sys.executable, "-c", UNPRIVILEGED, file]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        assert run.stdout == f"audit-unwritable cannot write the audit log {file}: Permission denied\n"
        assert os.listdir(folder) == []
        os.chmod(folder, 0o755)
        with open(file, "wb"):
            os.chmod(file, 0o444)
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        assert run.stdout.startswith("audit-unwritable")
        assert os.path.getsize(file) == 0


IMPORTS = """
import sys
before = set(sys.modules)  # an installation may import what it likes at start-up
import mcp_client.audit.log, mcp_client.audit.events
names = "logging pydantic structlog dataclasses pathlib asyncio subprocess tempfile shutil".split()
print(*(name for name in names if name in set(sys.modules) - before))
"""


def test_the_log_needs_no_heavy_module():
    run = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
