"""What is remembered between runs is believed only when nobody else can have written it."""

import os

import pytest

from mcp_client.private import read_private, write_private


def test_what_was_written_is_read_and_only_ours(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "folder", "memo")
    assert write_private(path, b"remembered")
    assert read_private(path, 100) == b"remembered"
    assert read_private(path, 3) == b"rem"
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.listdir(os.path.dirname(path)) == ["memo"]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_what_others_can_write_is_not_believed(mode: int, tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "memo")
    write_private(path, b"x")
    os.chmod(path, mode)
    assert read_private(path, 100) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_somebody_else_owns_is_not_believed(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "memo")
    write_private(path, b"x")
    os.chown(path, 1, 1)
    assert read_private(path, 100) is None


def test_links_pipes_and_nothing_are_not_believed(tmp_path: os.PathLike[str]) -> None:
    real, link, pipe = (os.path.join(tmp_path, name) for name in ("real", "link", "pipe"))
    write_private(real, b"x")
    os.symlink(real, link)
    os.mkfifo(pipe, 0o600)
    assert read_private(link, 100) is None
    assert read_private(pipe, 100) is None
    assert read_private(os.path.join(tmp_path, "missing"), 100) is None


def test_a_place_that_cannot_be_written_is_no_failure(tmp_path: os.PathLike[str]) -> None:
    assert not write_private("/proc/no/such/folder", b"x")
    folder = os.path.join(tmp_path, "memo")
    os.mkdir(folder)
    assert not write_private(folder, b"x")
    assert os.listdir(tmp_path) == ["memo"]
