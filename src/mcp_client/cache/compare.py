"""Prove a tree: compare it, entry by entry, with the bundle it was unpacked from."""

import hashlib
import os
import stat
from io import FileIO
from typing import NamedTuple

from mcp_client import system
from mcp_client.cache.bytestream import ByteStream
from mcp_client.cache.gunzip import gunzip
from mcp_client.cache.tar import Member, read_members
from mcp_client.cache.unpack import most_plain_bytes
from mcp_client.config.settings import CacheSettings
from mcp_client.digest import Digest
from mcp_client.errors import MCPError, printable

_CHUNK = 256 << 10
_FILE_MODE, _PROGRAM_MODE, _FOLDER_MODE = 0o444, 0o555, 0o555
_SHOWN = 120


class _Found(NamedTuple):
    """What is on the disk; ``inode`` tells hard links of one file."""

    kind: str
    mode: int
    size: int
    inode: int


class _Different(Exception):  # noqa: N818  an answer, not an error
    """The first difference that was found."""


def is_intact(path: str, digest: Digest) -> bool:
    """Whether the file ``path`` holds exactly the bytes of ``digest``."""
    try:
        descriptor = system.open_fd(
            path, os.O_RDONLY | system.O_NOFOLLOW | system.O_NONBLOCK | system.O_CLOEXEC
        )
    except OSError:
        return False
    try:
        with open(descriptor, "rb") as file:
            plain = stat.S_ISREG(os.fstat(descriptor).st_mode)
            return plain and hashlib.file_digest(file, "sha256").hexdigest() == digest.hex
    except OSError:
        return False


def find_difference(tree: str, archive: str, settings: CacheSettings) -> str | None:
    """How ``tree`` differs from what its bundle says, in words; None when it is whole.

    ``archive`` has been proven by its digest. Compared are names, kinds, modes, the targets of links and
    every byte; there is nothing beside what the bundle holds. The root's own mode is not looked at, and no
    times are: a copy may have others.
    """
    try:
        found = _walk(tree)
        with open(archive, "rb") as file:
            limit = most_plain_bytes(settings.max_unpacked, settings.max_entries)
            _compare(tree, found, ByteStream(gunzip(iter(lambda: file.read(_CHUNK), b""), limit)))
    except _Different as difference:
        return str(difference)
    except OSError as error:
        return (
            f"{_shown(os.path.relpath(str(error.filename or tree), tree))} cannot be read: {error.strerror}"
        )
    except MCPError as error:
        # No tree can have come of it: not of this release, with these limits.
        return error.message
    return None


def _walk(tree: str) -> dict[str, _Found]:
    """Everything below ``tree`` by its relative path; no link is followed."""
    if not stat.S_ISDIR(os.lstat(tree).st_mode):
        raise _Different("it is no folder")
    found: dict[str, _Found] = {}
    folders = [""]
    while folders:
        folder = folders.pop()
        with os.scandir(os.path.join(tree, folder)) as listed:
            for item in listed:
                path = f"{folder}/{item.name}" if folder else item.name
                status = item.stat(follow_symlinks=False)
                kind = _kind(status.st_mode)
                found[path] = _Found(kind, stat.S_IMODE(status.st_mode), status.st_size, status.st_ino)
                if kind == "folder":
                    folders.append(path)
    return found


def _compare(tree: str, found: dict[str, _Found], stream: ByteStream) -> None:
    expected: set[str] = set()
    for member in read_members(stream):
        parts = [part for part in member.name.split("/") if part not in {"", "."}]
        expected.update("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
        if parts:
            _compare_entry(tree, found, "/".join(parts), member, stream)
    for path, entry in found.items():
        if path not in expected:
            raise _Different(f"{_shown(path)} does not belong there")
        if system.KEEPS_MODES and entry.kind == "folder" and entry.mode != _FOLDER_MODE:
            raise _Different(f"{_shown(path)} has mode {entry.mode:o}")


def _compare_entry(
    tree: str, found: dict[str, _Found], path: str, member: Member, stream: ByteStream
) -> None:
    entry = found.get(path)
    if entry is None:
        raise _Different(f"{_shown(path)} is missing")
    if member.kind == "hardlink":
        _compare_hard_link(tree, found, path, member.target)
    elif entry.kind != member.kind:
        raise _Different(f"{_shown(path)} is a {entry.kind} and no {member.kind}")
    elif member.kind == "file":
        _compare_file(os.path.join(tree, path), path, entry, member, stream)
    elif member.kind == "symlink" and os.readlink(os.path.join(tree, path)) != member.target:
        raise _Different(f"{_shown(path)} leads elsewhere")


def _compare_file(place: str, path: str, entry: _Found, member: Member, stream: ByteStream) -> None:
    mode = _PROGRAM_MODE if member.mode & 0o111 else _FILE_MODE
    if system.KEEPS_MODES and entry.mode != mode:
        raise _Different(f"{_shown(path)} has mode {entry.mode:o} instead of {mode:o}")
    if entry.size != member.size:
        raise _Different(f"{_shown(path)} has {entry.size} bytes instead of {member.size}")
    with _opened(place) as file:
        left = member.size
        while left:
            data = stream.read_some(min(left, _CHUNK))
            if not data or file.read(len(data)) != data:
                raise _Different(f"{_shown(path)} has other contents")
            left -= len(data)


def _compare_hard_link(tree: str, found: dict[str, _Found], path: str, target: str) -> None:
    """One file under two names, or two files with the same contents: not every copy keeps hard links."""
    other = "/".join(part for part in target.split("/") if part not in {"", "."})
    one, two = found[path], found.get(other)
    if two is None or one.kind != "file" or one._replace(inode=0) != two._replace(inode=0):
        raise _Different(f"{_shown(path)} is not the same as {_shown(other)}")
    if one.inode == two.inode:
        return
    with _opened(os.path.join(tree, path)) as file, _opened(os.path.join(tree, other)) as same:
        while data := file.read(_CHUNK):
            if same.read(len(data)) != data:
                raise _Different(f"{_shown(path)} has other contents")


def _opened(place: str) -> FileIO:
    descriptor = system.open_fd(place, os.O_RDONLY | system.O_NOFOLLOW | system.O_CLOEXEC)
    return open(descriptor, "rb", buffering=0)


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "symlink" if stat.S_ISLNK(mode) else "device, pipe or socket"


def _shown(path: str) -> str:
    return printable(path, _SHOWN)
