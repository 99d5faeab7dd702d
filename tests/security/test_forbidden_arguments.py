"""Arguments that are refused, call by call; with harmless ones the kernel itself answers."""

import os
import platform
import socket
from typing import Any

import pytest
from arena.sandbox import attempt_inside, attempt_outside, placed

COLUMN = 0 if platform.machine() == "x86_64" else 1
HERE = -100
NOWHERE = "/nowhere/at/all"

# name: numbers on x86_64 and arm64, arguments before the mode, what the kernel says to them.
MODES: dict[str, tuple[tuple[int, int | None], tuple[Any, ...], str]] = {
    "chmod": ((90, None), (NOWHERE,), "ENOENT"),
    "fchmod": ((91, 52), (-1,), "EBADF"),
    "fchmodat": ((268, 53), (HERE, NOWHERE), "ENOENT"),
    "fchmodat2": ((452, 452), (HERE, NOWHERE), "ENOENT"),
    "mkdir": ((83, None), (NOWHERE,), "ENOENT"),
    "mkdirat": ((258, 34), (HERE, NOWHERE), "ENOENT"),
    "mknod": ((133, None), (NOWHERE,), "ENOENT"),
    "mknodat": ((259, 33), (HERE, NOWHERE), "ENOENT"),
    "creat": ((85, None), (NOWHERE,), "ENOENT"),
    "open": ((2, None), (NOWHERE, os.O_CREAT | os.O_WRONLY), "ENOENT"),
    "open-temporary": ((2, None), (NOWHERE, os.O_TMPFILE | os.O_WRONLY), "ENOENT"),
    "openat": ((257, 56), (HERE, NOWHERE, os.O_CREAT | os.O_WRONLY), "ENOENT"),
    "openat-temporary": ((257, 56), (HERE, NOWHERE, os.O_TMPFILE | os.O_WRONLY), "ENOENT"),
}
CALL = "return call(*[a.encode() if isinstance(a, str) else a for a in target], 0, 0)"
NAMESPACES = [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]


@pytest.mark.parametrize("name", [name for name in MODES if MODES[name][0][COLUMN] is not None])
def test_no_setuid_bit_comes_by(name: str) -> None:
    numbers, arguments, answer = MODES[name]
    for bits in (0o4755, 0o2755):
        assert attempt_inside(CALL, [numbers[COLUMN], *arguments, bits]).refused == "EPERM"
    assert attempt_inside(CALL, [numbers[COLUMN], *arguments, 0o755]).refused in {answer, "ENOSYS"}
    assert attempt_outside(CALL, [numbers[COLUMN], *arguments, 0o4755]).refused in {answer, "ENOSYS"}


@pytest.mark.parametrize("flag", NAMESPACES)
def test_the_flag_of_clone_is_unknown(flag: int) -> None:
    """Not the kernel's EPERM, which says only that the caller lacks a capability."""
    body = "return call(target[0], target[1] | 17, 0, 0, 0, 0) or os._exit(0)"
    number = (56, 220)[COLUMN]
    assert attempt_inside(body, (number, flag), subprocess=True).refused == "ENOSYS"
    assert attempt_inside(body, (number, 0), subprocess=True).got


def test_a_pair_of_sockets_is_of_one_family() -> None:
    body = "return call(target[0], target[1], 1, 0, ctypes.byref((ctypes.c_int * 2)()))"
    number = (53, 199)[COLUMN]
    assert attempt_inside(body, (number, socket.AF_INET)).refused == "ENOSYS"
    assert attempt_inside(body, (number, socket.AF_UNIX)).got == 0
    assert attempt_outside(body, (number, socket.AF_INET)).refused in {"EOPNOTSUPP", "ENOTSUP"}


def test_a_socket_of_the_client_tells_nothing_of_its_interface() -> None:
    body = """
        import fcntl, struct
        return len(fcntl.ioctl(0, 0x8933, struct.pack('16s24x', b'lo')))
    """
    own = """
        import fcntl, os, socket, struct
        os.dup2(socket.socket().detach(), 0)
        return len(fcntl.ioctl(0, 0x8933, struct.pack('16s24x', b'lo')))
    """
    ours, theirs = socket.socketpair()
    with ours, theirs, placed({0: theirs.fileno()}):
        assert attempt_inside(body).refused == "EPERM"
        assert attempt_outside(body).got == 40
    read, write = os.pipe()
    with placed({0: read}):
        assert attempt_inside(own).got == 40
    os.close(read)
    os.close(write)


# setpriority(2) and ioprio_set(2): numbers, which of init, which of all of the user.
@pytest.mark.parametrize(
    ("numbers", "init", "everyone", "value"),
    [((141, 140), 0, 2, 19), ((251, 30), 1, 3, 3 << 13)],
    ids=["setpriority", "ioprio_set"],
)
def test_neither_init_nor_the_user_is_slowed_down(
    numbers: tuple[int, int], init: int, everyone: int, value: int
) -> None:
    body = "return call(*target)"
    number = numbers[COLUMN]
    assert attempt_inside(body, [number, init, 1, value]).refused == "EPERM"
    assert attempt_inside(body, [number, everyone, 0, value]).refused == "EPERM"
    assert attempt_inside(body, [number, init, 0, value]).got == 0
