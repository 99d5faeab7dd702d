"""Grants of files and folders: plain, existing, and never this program's own."""

import os

import pytest

from mcp_client.errors import MCPError
from mcp_client.policy.folders import grant_folder, parse_mount
from mcp_client.policy.model import Folder


@pytest.fixture
def home(tmp_path: os.PathLike[str]) -> str:
    path = os.path.join(tmp_path, "user", ".mcp")
    os.makedirs(path)
    return path


@pytest.fixture
def data(tmp_path: os.PathLike[str]) -> str:
    path = os.path.join(tmp_path, "data")
    os.mkdir(path)
    return path


@pytest.mark.parametrize(("suffix", "writable"), [("", False), (":ro", False), (":rw", True)])
def test_a_mount_is_read_only_unless_it_says_otherwise(
    suffix: str, writable: bool, home: str, data: str
) -> None:
    granted = parse_mount(f"{data}:/mnt/data{suffix}", [home])
    assert granted[:3] == (os.path.realpath(data), "/mnt/data", writable)


@pytest.mark.parametrize(
    "inside",
    ["", "mnt", "./mnt", "/mnt/../etc", "/mnt//x", "/mnt/./x", "/mnt:exec", "/mnt:rw:rw", "/mnt\0", "//etc"],
)
def test_a_path_inside_must_be_absolute_and_plain(inside: str, home: str, data: str) -> None:
    with pytest.raises(MCPError) as caught:
        parse_mount(f"{data}:{inside}", [home])
    assert caught.value.code == "mount-refused"


def test_a_source_must_exist(home: str, data: str) -> None:
    with pytest.raises(MCPError, match="cannot use"):
        parse_mount(f"{data}/missing:/mnt", [home])


@pytest.mark.parametrize("place", [".mcp", ".", "..", ".mcp/cache", "link"])
def test_this_programs_own_files_are_never_granted(place: str, home: str) -> None:
    os.mkdir(os.path.join(home, "cache"))
    user = os.path.dirname(home)
    os.symlink(home, os.path.join(user, "link"))
    with pytest.raises(MCPError, match="own files"):
        grant_folder(os.path.join(user, place), None, writable=False, private=[home])


def test_a_sibling_with_the_same_beginning_is_another_folder(home: str) -> None:
    sibling = home + "-notes"
    os.mkdir(sibling)
    granted = grant_folder(sibling, None, writable=True, private=[home])
    status = os.stat(sibling)
    assert granted == Folder(sibling, sibling, True, (status.st_dev, status.st_ino))


def test_the_whole_file_system_is_never_granted(tmp_path: os.PathLike[str]) -> None:
    with pytest.raises(MCPError):
        grant_folder("/", "/mnt", writable=False, private=[str(tmp_path)])
