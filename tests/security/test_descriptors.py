"""What a caller leaves open for the server: descriptors beside the standard ones, and behind those."""

import functools
import json
import os
import pty
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import pytest
from arena.attacks import Attack, Program, agrees, hear_inside, hear_outside, identify, table
from arena.host import public_folder
from arena.sandbox import run_inside

from mcp_client.errors import MCPError

STANDARD = Program("descriptors/standard.c")
# Typing needs a terminal of one's own, and a kernel that still has it (sysctl dev.tty.legacy_tiocsti).
ON_TERMINAL = STANDARD._replace(control=("setsid", "--ctty", "--wait"))
AS_ROOT = "got" if os.geteuid() == 0 else "EPERM"

TERMINAL_AS_INPUT = table(
    ON_TERMINAL,
    """
    type-into-it                EPERM   got|EIO
    type-with-a-high-bit        EPERM   got|EIO
    type-with-all-high-bits     EPERM   got|EIO
    line-discipline             EPERM   got
    ask-its-name                ENODEV  got
    open-dev-tty                ENOENT  got
    open-again-to-read          EACCES  got
    open-again-to-write         EACCES  got
    """,
)
TERMINAL_AS_ERROR = table(
    STANDARD,
    """
    change-settings             ENOTTY  got
    change-its-size             ENOTTY  got
    make-it-exclusive           ENOTTY  got
    send-a-break                ENOTTY  got
    ask-its-name                ENOTTY  got
    read-it                     EBADF   got
    """,
)
LOG_AS_ERROR = table(
    STANDARD,
    """
    read-it                     EBADF   got
    ask-its-length              ENODATA got
    change-its-mode             ENODATA got
    cut-it                      EINVAL  got
    """,
)
FILE_AS_INPUT = table(
    STANDARD,
    """
    open-again-to-read          EACCES  got
    open-again-to-write         EACCES  got
    """,
)
SOCKET_AS_INPUT = table(
    STANDARD,
    f"""
    list-addresses              EPERM   got
    ask-flags                   EPERM   got
    ask-flags-with-a-high-bit   EPERM   got
    ask-the-hardware            EPERM   got
    ask-an-index                EPERM   got
    ask-its-namespace           EPERM   {AS_ROOT}
    ask-who-is-behind           ESRCH   got
    """,
)


@contextmanager
def _terminal() -> Iterator[int]:
    ours, theirs = pty.openpty()
    yield theirs
    os.close(ours)
    os.close(theirs)


@contextmanager
def _file() -> Iterator[int]:
    with public_folder("/tmp") as folder:
        descriptor = os.open(os.path.join(folder, "file"), os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.fchmod(descriptor, 0o666)
        os.write(descriptor, b"what others said\n")
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
        os.close(descriptor)


@contextmanager
def _socket() -> Iterator[int]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield theirs.fileno()


KINDS: dict[str, tuple[Callable[[], AbstractContextManager[int]], int, list[Attack]]] = {
    "a terminal as standard input": (_terminal, 0, TERMINAL_AS_INPUT),
    "a terminal as standard error": (_terminal, 2, TERMINAL_AS_ERROR),
    "a log file as standard error": (_file, 2, LOG_AS_ERROR),
    "a file as standard input": (_file, 0, FILE_AS_INPUT),
    "a socket as standard input": (_socket, 0, SOCKET_AS_INPUT),
}
ATTACKS = [
    pytest.param(kind, attack, id=f"{kind}, {identify(attack)}")
    for kind, (_, _, attacks) in KINDS.items()
    for attack in attacks
]


@functools.cache
def _heard(kind: str) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """What was heard outside and inside; each run gets a thing of its own."""
    make, number, attacks = KINDS[kind]
    program, targets = attacks[0].program, {"FD": str(number)}
    with make() as outer:
        outside = hear_outside(program, targets, {number: outer})
    with make() as inner:
        inside = hear_inside(program, targets, {number: inner})
    return outside, inside


@pytest.mark.parametrize(("kind", "attack"), ATTACKS)
def test_nothing_more_is_gained_from(kind: str, attack: Attack) -> None:
    outside, inside = _heard(kind)
    assert agrees(outside[attack.name], attack.outside), outside
    assert agrees(inside[attack.name], attack.inside), inside


def test_a_datagram_socket_is_no_standard_input() -> None:
    """It was made in the host's namespace, and sends to any abstract address there."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service:
        service.bind(f"\0attacked-{os.getpid()}-datagrams")
        theirs.sendto(b"x", service.getsockname())
        assert service.recv(9) == b"x"
        with pytest.raises(MCPError, match="socket"):
            run_inside("", standard={0: theirs.fileno()})


def test_none_of_fifty_descriptors_is_inherited() -> None:
    """Of every kind that would lead somewhere, in low and high places."""
    with tempfile.TemporaryFile() as file, socket.create_server(("127.0.0.1", 0)) as server:
        made = [
            os.open("/", os.O_PATH),
            os.open("/", os.O_RDONLY | os.O_DIRECTORY),
            os.open("/proc/self/ns/net", os.O_RDONLY),
            os.pidfd_open(os.getpid()),
            os.memfd_create("attacked"),
            os.dup(file.fileno()),
            os.dup(server.fileno()),
            os.eventfd(0),
        ]
        made += [os.dup(made[0]) for _ in range(40)]
        made += [os.dup2(made[0], number) for number in (500, 777, 900)]
        try:
            for descriptor in made:
                os.set_inheritable(descriptor, True)
            program = "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))"
            # The last is the listing's own.
            assert run_inside(program).output == b"[0, 1, 2, 3]\n"
            done = subprocess.run(
                [sys.executable, "-c", program], pass_fds=made, capture_output=True, check=True
            )
            assert len(json.loads(done.stdout)) >= len(made)
        finally:
            for descriptor in made:
                os.close(descriptor)
