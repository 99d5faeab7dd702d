"""By what a tree is known again: a few lstat(2) calls instead of reading every file.

An inode's change time cannot be set (inode(7)): whatever adds, removes, renames or rewrites something at one
of the watched places leaves another one there, and a copy has other inodes. What is changed deeper down, or
by one who sets the clock back, is found by ``mcp cache verify``.
"""

from __future__ import annotations

import os
import stat

from mcp_client.light import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# The first level of most bundles; each place costs a warm run a few microseconds.
_NEAREST = 12
_MOST = 64
_GONE = "0 0 0 0 0"
_FIELDS = 5
_SECOND = 1_000_000_000


def identify(tree: str, named: Iterable[str] = ()) -> str:
    """The identity of ``tree``, one line for each watched place: inode, mode, size, mtime, ctime, path.

    Watched are the root, what is nearest to it, and the files ``named`` (relative paths) with their folders.
    """
    places = dict.fromkeys(_nearest(tree))
    for path in named:
        inner = os.path.normpath(path)
        if inner == "." or inner.startswith(("../", "/")):
            continue
        while inner and len(places) < _MOST:
            places[inner] = None
            inner = os.path.dirname(inner)
    return _lines(tree, places)


def named_in(identity: str) -> list[str]:
    """Every place that ``identity`` watches, so that a new one can watch them as well."""
    return [line.split(" ", _FIELDS)[_FIELDS] for line in identity.splitlines()]


def is_same(tree: str, identity: str) -> bool:
    """Whether ``tree`` is what ``identity`` was taken of, untouched at the watched places."""
    return bool(identity) and _lines(tree, named_in(identity)) == identity


def is_copy(tree: str, identity: str) -> bool:
    """Whether ``tree`` looks like a faithful copy: kinds, modes, and the sizes and seconds of its files."""
    return bool(identity) and _outlines(_lines(tree, named_in(identity))) == _outlines(identity)


def _lines(tree: str, places: Iterable[str]) -> str:
    return "\n".join([f"{_numbers(f'{tree}/{place}' if place else tree)} {place}" for place in places])


def _numbers(path: str) -> str:
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return _GONE
    return f"{found.st_ino} {found.st_mode} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


def _nearest(tree: str) -> list[str]:
    """The root and what is nearest to it, level by level."""
    found, at = [""], 0
    while at < len(found) < _NEAREST:
        folder = found[at]
        at += 1
        try:
            # The root may be no folder at all; links lead to what is watched under its own name.
            with os.scandir(f"{tree}/{folder}") as listed:
                inner = sorted(item.name for item in listed) if not os.path.islink(f"{tree}/{folder}") else []
        except OSError:
            continue
        found += [f"{folder}/{name}" if folder else name for name in inner][: _NEAREST - len(found)]
    return found


def _outlines(identity: str) -> list[tuple[str, ...]]:
    outlines: list[tuple[str, ...]] = []
    for line in identity.splitlines():
        _, mode, size, modified, _, place = line.split(" ", _FIELDS)
        plain = stat.S_ISREG(int(mode))
        outlines.append((mode, place, *((size, str(int(modified) // _SECOND)) if plain else ())))
    return outlines
