"""A pull that is ended from outside, or fails at one end, while its registry is silent at the other."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
from kit import mounted
from kit.bundle import pack, pack_files, regular

from mcp_client.cache.interrupt import Wait, ended_tidily

# Sends what is in a file, and then nothing for ever, as a registry that hangs.
PULL = """
import os, socket, sys
from mcp_client.cache.store import Cache
from mcp_client.config.settings import CacheSettings
from mcp_client.digest import Digest
from mcp_client.errors import MCPError
from mcp_client.resolution import Descriptor

folder, source = sys.argv[1:]
near, far = socket.socketpair()

def chunks():
    with open(source, "rb") as file:
        while data := file.read(50_000):
            yield data
    # One call: another thread may have something to say as well.
    os.write(1, b"silent\\n")
    yield near.recv(1000)

try:
    Cache(CacheSettings(folder)).add_bundle(Descriptor(Digest("0" * 64), "", None), chunks, 1 << 30)
except MCPError as error:
    os.write(1, error.code.encode() + b"\\n")
except KeyboardInterrupt:
    os.write(1, b"interrupted\\n")
print(os.listdir(os.path.join(folder, "staging")))
"""


@contextmanager
def start(stored, tmp_path, data, prefix=(), **options):
    source = tmp_path / "source"
    source.write_bytes(data)
    command = [*prefix, sys.executable, "-c", PULL, stored.folder, source]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def until_it_is_silent(process):
    assert process.stdout.readline() == "silent\n"


BEGUN = pack_files({f"f{n}": os.urandom(300).hex() for n in range(200)})[:-1000]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_ends_it_as_ever_and_leaves_nothing(stored, tmp_path, name):
    with start(stored, tmp_path, BEGUN) as process:
        until_it_is_silent(process)
        assert len(stored.names("staging")) == 1
        process.send_signal(getattr(signal, name))
        output, errors = process.communicate(timeout=20)
    assert process.returncode == -getattr(signal, name)
    assert (output, errors) == ("", "")
    assert stored.names() == []


def test_an_interrupt_from_the_keyboard_leaves_nothing(stored, tmp_path):
    with start(stored, tmp_path, BEGUN) as process:
        until_it_is_silent(process)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, output, errors) == (0, "interrupted\n[]\n", "")
    assert stored.names() == []


def test_an_ignored_signal_stays_ignored(stored, tmp_path):
    """nohup(1)."""
    with start(
        stored, tmp_path, BEGUN, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ) as process:
        until_it_is_silent(process)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == -signal.SIGTERM


def test_a_kill_of_all_its_threads_leaves_what_the_next_one_sweeps(stored, tmp_path):
    with start(stored, tmp_path, BEGUN) as process:
        until_it_is_silent(process)
        assert len(os.listdir(f"/proc/{process.pid}/task")) == 3
        process.kill()
    assert len(stored.names("staging")) == 1
    stored.add(b"other")
    assert stored.names("staging", "trees") == []


def test_a_full_disk_ends_a_silent_download(stored, tmp_path):
    """Who makes the files meets it; the thread that waits for the registry must not wait on."""
    try:
        prefix = mounted.tmpfs(stored.folder, "size=300k")
        works = subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
    except (OSError, RuntimeError):
        works = False
    if not works:
        pytest.skip("mounting is not allowed here")
    data = pack([(regular("f", bytes(3_000_000)), bytes(3_000_000))])[:-100]
    with start(stored, tmp_path, data, prefix) as process:
        output, errors = process.communicate(timeout=20)
    assert output.splitlines()[-2:] == ["disk-full", "[]"], errors


def test_a_signal_before_or_after_the_wait_breaks_nothing():
    raised = ValueError("why")
    with Wait() as wait:
        wait.break_off(raised)
        with pytest.raises(ValueError, match="why"):
            list(wait.each(iter([b"x"])))
    with Wait() as wait:
        seen = []
        for chunk in wait.each([b"1", b"2"]):
            seen.append(chunk)
            if chunk == b"2":
                signal.raise_signal(signal.SIGURG)
    assert seen == [b"1", b"2"]
    assert signal.getsignal(signal.SIGURG) in (signal.SIG_DFL, signal.SIG_IGN)


def test_other_threads_change_no_handlers():
    found = []

    def work():
        with ended_tidily(), Wait() as wait:
            found.append(signal.getsignal(signal.SIGTERM))
            found.extend(wait.each([b"x"]))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM), b"x"]
