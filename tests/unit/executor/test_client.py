"""Noticing the client's end without taking a byte from the server."""

import os
import socket
import subprocess
import sys

import pytest

from mcp_client.executor.client import can_hang_up
from mcp_client.executor.unread import unread_bytes

WATCH = """
import time
from mcp_client.executor.client import ClientWatch
with ClientWatch():
    time.sleep({})
print("done")
"""


def test_pipes_and_sockets_can_hang_up_and_files_cannot(tmp_path: os.PathLike[str]) -> None:
    read, write = os.pipe()
    ours, theirs = socket.socketpair()
    with ours, theirs, open(os.path.join(tmp_path, "file"), "wb") as file, open(os.devnull, "rb") as null:
        assert can_hang_up(read)
        assert can_hang_up(ours.fileno())
        assert not can_hang_up(file.fileno())
        assert not can_hang_up(null.fileno())
    os.close(read)
    os.close(write)
    assert not can_hang_up(read)


def test_unread_bytes_are_counted_and_stay() -> None:
    read, write = os.pipe()
    os.write(write, b"request")
    assert unread_bytes(read) == len(b"request")
    assert os.read(read, 99) == b"request"
    assert unread_bytes(read) == 0
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("left", [b"", b"a request\n"], ids=["drained", "unread"])
def test_a_client_that_left_ends_the_watch_unless_it_still_wants_an_answer(left: bytes) -> None:
    argv = [sys.executable, "-c", WATCH.format(1)]
    done = subprocess.run(argv, input=left, capture_output=True, check=True, timeout=30)
    assert done.stdout == (b"done\n" if left else b"")
    assert (b"nothing was run" in done.stderr) == (not left)


def test_a_client_that_stays_is_not_noticed() -> None:
    argv = [sys.executable, "-c", WATCH.format(0.3)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read() == b"done\n"
        assert process.wait(30) == 0


def test_a_node_client_uses_sockets() -> None:
    ours, theirs = socket.socketpair()
    argv = [sys.executable, "-c", WATCH.format(30)]
    with ours, subprocess.Popen(argv, stdin=theirs, stdout=subprocess.DEVNULL) as process:
        theirs.close()
        ours.shutdown(socket.SHUT_WR)
        assert process.wait(20) == 0
