import os
import socket

import pytest
from kit.bundle import hard_link, link, pack, regular

from mcp_client.cache.compare import find_difference, is_intact
from mcp_client.config.settings import CacheSettings

MEMBERS = [
    (regular("./top", b"top"), b"top"),
    (regular("bin/tool", b"#!/bin/sh\n", 0o755), b"#!/bin/sh\n"),
    (regular("lib/deep/er/big", bytes(700_000)), bytes(700_000)),
    (link("lib/link", "deep/er"), b""),
    (hard_link("again", "top"), b""),
    (regular("lib/empty", b""), b""),
]


@pytest.fixture
def unpacked(stored):
    """Path of a tree and of its bundle."""
    digest = stored.add(pack(MEMBERS))
    tree = stored.cache.unpack(digest)
    for parent, _, _ in os.walk(tree):
        # So that tests may change what is inside; the modes of folders are given back by compare().
        os.chmod(parent, 0o755)
    return tree, stored.cache.artifact_path("bundle", digest)


def compare(unpacked):
    tree, archive = unpacked
    for parent, folders, _ in os.walk(tree):
        for name in folders:
            path = os.path.join(parent, name)
            if not os.path.islink(path) and os.stat(path).st_mode & 0o7777 == 0o755:
                os.chmod(path, 0o555)
    return find_difference(tree, archive, CacheSettings("/unused"))


def test_a_tree_is_what_its_bundle_says(unpacked):
    assert compare(unpacked) is None


def replace(tree, name, make):
    path = os.path.join(tree, name)
    if os.path.lexists(path):
        os.unlink(path)
    make(path)


def with_bytes(data, mode=0o444):
    def make(path):
        with open(path, "wb") as file:
            file.write(data)
        os.chmod(path, mode)

    return make


def with_socket(path):
    # The path of a socket is short.
    descriptor = os.open(os.path.dirname(path), os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{descriptor}/{os.path.basename(path)}")
    os.close(descriptor)


CHANGES = {
    "a file is gone": ("top", lambda path: None, "top is missing"),
    "a file is shorter": ("lib/deep/er/big", with_bytes(bytes(699_999)), "699999 bytes instead of 700000"),
    "one byte of many": (
        "lib/deep/er/big",
        with_bytes(bytes(699_999) + b"x"),
        "lib/deep/er/big has other contents",
    ),
    "an empty file is filled": ("lib/empty", with_bytes(b"x"), "1 bytes instead of 0"),
    "a file more": ("lib/extra", with_bytes(b""), "lib/extra does not belong there"),
    "a hidden file more": (".extra", with_bytes(b""), ".extra does not belong there"),
    "a folder more": ("lib/extra", lambda path: os.mkdir(path, 0o755), "lib/extra does not belong there"),
    "a link more": ("lib/extra", lambda path: os.symlink("deep", path), "does not belong there"),
    "a program is none": ("bin/tool", with_bytes(b"#!/bin/sh\n", 0o444), "mode 444 instead of 555"),
    "a file is a program": ("lib/empty", with_bytes(b"", 0o555), "mode 555 instead of 444"),
    "a writable file": ("top", with_bytes(b"top", 0o644), "mode 644"),
    "a set-user-id program": ("bin/tool", with_bytes(b"#!/bin/sh\n", 0o4555), "mode 4555"),
    "a link leads elsewhere": (
        "lib/link",
        lambda path: os.symlink("../bin", path),
        "lib/link leads elsewhere",
    ),
    "a link for a file": ("top", lambda path: os.symlink("again", path), "top is a symlink and no file"),
    "a file for a link": ("lib/link", with_bytes(b"deep/er"), "lib/link is a file and no symlink"),
    "a pipe for a file": ("top", os.mkfifo, "top is a device, pipe or socket and no file"),
    "a socket more": ("lib/extra", with_socket, "does not belong there"),
    "a hard link to other bytes": ("again", with_bytes(b"tip"), "again has other contents"),
    "a name with an escape": ("lib/\x1b[2J", with_bytes(b""), "lib/\\x1b[2J does not belong"),
    "a name that is no text": ("lib/\udcff", with_bytes(b""), "does not belong"),
}


@pytest.mark.parametrize(("name", "make", "said"), CHANGES.values(), ids=CHANGES)
def test_every_change_is_found(unpacked, name, make, said):
    replace(unpacked[0], name, make)
    assert said in compare(unpacked)


def test_a_folder_that_became_a_link_to_the_same_files(unpacked, tmp_path):
    tree, _ = unpacked
    os.rename(os.path.join(tree, "lib", "deep"), tmp_path / "deep")
    os.symlink(tmp_path / "deep", os.path.join(tree, "lib", "deep"))
    assert "lib/deep" in compare(unpacked)


def test_the_mode_of_a_folder(unpacked):
    os.chmod(os.path.join(unpacked[0], "lib"), 0o777)
    assert compare(unpacked) == "lib has mode 777"


def test_the_root_may_still_be_open(unpacked):
    """A removal that failed, or was killed, leaves it so; whoever proves the tree closes it."""
    os.chmod(unpacked[0], 0o755)
    assert compare(unpacked) is None


def test_times_and_hard_links_need_not_survive_a_copy(unpacked):
    replace(unpacked[0], "again", with_bytes(b"top"))
    os.utime(os.path.join(unpacked[0], "lib", "empty"), (5, 5))
    assert compare(unpacked) is None


def test_a_root_that_is_no_folder(unpacked, tmp_path):
    tree, archive = unpacked
    os.symlink(tree, tmp_path / "link")
    assert find_difference(str(tmp_path / "link"), archive, CacheSettings("/unused")) == "it is no folder"
    assert find_difference(str(tmp_path / "none"), archive, CacheSettings("/unused"))


def test_a_bundle_that_no_release_would_unpack(unpacked, stored):
    digest = stored.add(b"no archive")
    archive = stored.cache.artifact_path("bundle", digest)
    assert find_difference(unpacked[0], archive, CacheSettings("/unused"))


def test_what_is_intact(stored, tmp_path):
    digest = stored.add(b"data")
    path = stored.cache.artifact_path("bundle", digest)
    assert is_intact(path, digest)
    os.symlink(path, tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    for other in ("link", "pipe", "none", ""):
        assert not is_intact(str(tmp_path / other), digest)
    assert not is_intact(path, stored.digest(b"other"))
