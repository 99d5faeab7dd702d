"""The server's diagnostics on their way to ours."""

import contextlib
import os
import select
import subprocess
import sys
import termios

from mcp_client.executor.relay import Relay

# Relays descriptor 0 to descriptor 2 until the end, as the supervisor does.
PROGRAM = """
import select, sys
from mcp_client.executor import relay
if len(sys.argv) > 1:
    relay._BYTES_PER_SECOND = int(sys.argv[1])
moving = relay.Relay(0)
poll = select.poll()
moving.watch(poll)
while moving._source is not None or moving._chunk:
    moving.move(poll, dict(poll.poll(50)))
"""


def relayed(data: bytes, *arguments: str) -> bytes:
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, input=data, capture_output=True, check=True, timeout=60)
    assert done.stdout == b""
    return done.stderr


def test_every_byte_arrives_in_order() -> None:
    data = b"".join(f"line {number}\n".encode() for number in range(200_000))
    assert relayed(data) == data


def test_a_flood_is_slowed_down_and_still_complete() -> None:
    data = os.urandom(20_000)
    assert relayed(data, "16384") == data


def test_a_terminal_obeys_nothing_that_the_server_says() -> None:
    leader, terminal = os.openpty()
    attributes = termios.tcgetattr(terminal)
    attributes[1] &= ~termios.OPOST
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)
    # A C1 control in UTF-8 is cut in the middle by the size of a chunk.
    data = b"a" * 4095 + "\x9b31m\x1b]52;c;eA==\x07\u202egnp\tgrün\r\n".encode()
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stderr=terminal) as process:
        os.close(terminal)
        assert process.stdin is not None
        process.stdin.write(data)
        process.stdin.close()
        shown = b""
        with contextlib.suppress(OSError):  # EIO: the last holder of the terminal is gone
            while more := os.read(leader, 65536):
                shown += more
    os.close(leader)
    assert shown.decode()[4095:] == "\\x9b31m\\x1b]52;c;eA==\\x07\\u202egnp\tgrün\r\n"


def test_the_last_words_are_passed_on_and_a_stuck_reader_is_not_waited_for_long() -> None:
    source, server = os.pipe()
    os.write(server, b"last words")
    os.close(server)
    read, write = os.pipe()
    saved = os.dup(2)
    os.dup2(write, 2)
    try:
        Relay(source).drain(5.0)
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(write)
    assert os.read(read, 64) == b"last words"
    os.close(read)


def test_a_reader_that_left_ends_the_servers_pipe_too() -> None:
    source, server = os.pipe()
    read, write = os.pipe()
    os.close(read)
    relay, poll = Relay(source), select.poll()
    relay.watch(poll)
    os.write(server, b"x")
    saved = os.dup(2)
    os.dup2(write, 2)
    try:
        relay.move(poll, dict(poll.poll()))
        relay.move(poll, dict(poll.poll()))
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(write)
    watched = select.poll()
    watched.register(server, 0)
    assert watched.poll(0) == [(server, select.POLLERR)]
    os.close(server)
