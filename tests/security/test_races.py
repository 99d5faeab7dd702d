"""Folders that are exchanged while the launcher looks at them."""

import ctypes
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from arena.attacks import Program, hear_inside
from arena.host import PRIVATE, WANTED

from mcp_client.errors import MCPError
from mcp_client.policy.folders import grant_folder
from mcp_client.policy.model import Folder

READ = Program("files/reach.c", arguments=("read-plainly",))
_LAUNCHES = 25
_EXCHANGE = 2


@contextmanager
def _exchanging(one: str, other: str) -> Iterator[None]:
    """Another process swaps two paths as fast as it can."""
    renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    here = -100
    swapper = os.fork()
    if swapper == 0:
        while True:
            renameat2(here, one.encode(), here, other.encode(), _EXCHANGE)
    try:
        yield
    finally:
        os.kill(swapper, signal.SIGKILL)
        os.waitpid(swapper, 0)


def _number(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except OSError:
        return None


def _seen_outside(path: str) -> set[int | None]:
    """What a program sees that only opens the path; the control of every race here."""
    seen: set[int | None] = set()
    for _ in range(200_000):
        seen.add(_number(path))
        if {WANTED, PRIVATE} <= seen:
            break
    return seen


def _seen_inside(grant: Callable[[], Folder], path: str) -> set[str]:
    """What servers see of a grant while it is being exchanged; a launch may also be refused."""
    seen = set()
    for _ in range(_LAUNCHES):
        with suppress(MCPError, OSError):
            program = READ._replace(folders=(grant(),))
            seen.add(hear_inside(program, {"SECRET": path})["read-plainly"])
    return seen


@pytest.mark.parametrize("granted", ["wanted", "wanted/below", "wanted/secret"])
def test_a_grant_that_is_exchanged_all_the_time_shows_nothing_else(granted: str, place: str) -> None:
    """The folder itself, a folder above it, or the folder around a file."""
    wanted, link = os.path.join(place, "wanted"), os.path.join(place, "link")
    private = os.path.join(place, "private")
    os.symlink(private, link)
    inside = "/mnt/x" if granted.endswith("secret") else "/mnt/x/secret"

    def grant() -> Folder:
        return grant_folder(os.path.join(place, granted), "/mnt/x", writable=False, private=[private])

    name = "secret" if granted == "wanted" else granted.removeprefix("wanted/")
    tail = name if name == "secret" else f"{name}/secret"
    with _exchanging(wanted, link):
        assert {WANTED, PRIVATE} <= _seen_outside(os.path.join(wanted, tail))
        seen = _seen_inside(grant, inside)
    assert f"got={PRIVATE}" not in seen
    assert seen <= {f"got={WANTED}", "ENOENT", "EACCES", "ENOTDIR"}


def test_a_grant_is_of_what_was_looked_at(place: str) -> None:
    """Three at once, since it takes a busy machine for a path to change twice during one look."""
    wanted, link = os.path.join(place, "wanted"), os.path.join(place, "link")
    private = os.path.join(place, "private")
    os.symlink(private, link)
    found = os.stat(private)
    children = []
    with _exchanging(wanted, link):
        for _ in range(3):
            child = os.fork()
            if child == 0:
                shown = 0
                for _ in range(5000):
                    with suppress(MCPError, OSError):
                        grant = grant_folder(wanted, "/mnt/x", writable=False, private=[private])
                        shown |= grant.identity == (found.st_dev, found.st_ino)
                os._exit(shown)
            children.append(child)
        assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
