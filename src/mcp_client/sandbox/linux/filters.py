"""Compiled system call filters, kept in the cache so that a warm start does not load libseccomp."""

from __future__ import annotations

import os
import struct

from mcp_client.errors import MCPError
from mcp_client.light import NamedTuple, sha256
from mcp_client.private import read_private, write_private

_SOURCES = ("syscalls.py", "seccomp.py", "restricted/syscalls.py")
_INSTRUCTION = 8
_LENGTHS = struct.Struct("<4I")
_LARGEST_FILE = 1 << 20


class Filters(NamedTuple):
    """BPF programs: what init is asked about, which calls exist, which arguments they may not have.

    ``sockets`` is more of the last, for a server that holds a socket of its client's.
    """

    gate: bytes
    calls: bytes
    arguments: bytes
    sockets: bytes


class Profile(NamedTuple):
    """What the programs depend on, beside the machine; ``exits`` when connections are asked about."""

    subprocess: bool
    exits: bool = False
    restricted: bool = False


def load_filters(folder: str, profile: Profile) -> Filters:
    """The BPF programs for this machine, from ``folder`` or compiled now.

    The file name carries a hash of the profile's source, so a changed profile is never served from an old
    file. A folder that cannot be written costs time, not safety. Raises ``sandbox-unavailable``.
    """
    path = os.path.join(folder, f"{_key(profile)}.bpf")
    filters = _read(path)
    if filters is None:
        filters = _compile(profile)
        _write(path, filters)
    return filters


def _key(profile: Profile) -> str:
    here = os.path.dirname(__file__)
    key = sha256(f"{os.uname().machine} {profile}".encode())
    for name in _SOURCES:
        with open(os.path.join(here, name), "rb") as file:
            key.update(file.read())
    return key.hexdigest()[:32]


def _compile(profile: Profile) -> Filters:
    try:
        from mcp_client.sandbox.linux.seccomp import compile_filters
    except (ImportError, RuntimeError, OSError) as error:
        raise MCPError(
            "sandbox-unavailable",
            f"the system call filter cannot be built: {error}",
            hint="install libseccomp (Debian, Ubuntu: apt-get install libseccomp2)",
        ) from error
    try:
        return compile_filters(profile)
    except OSError as error:
        raise MCPError(
            "sandbox-unavailable",
            f"the system call filter does not compile: {error}",
            hint="update libseccomp; version 2.5 or later is needed",
        ) from error


def _read(path: str) -> Filters | None:
    """A stored file is the programs' lengths in bytes, then the programs."""
    data = read_private(path, _LARGEST_FILE)
    if data is None or len(data) < _LENGTHS.size:
        return None
    lengths = _LENGTHS.unpack_from(data)
    if len(data) != _LENGTHS.size + sum(lengths) or any(not n or n % _INSTRUCTION for n in lengths):
        return None
    programs, at = [], _LENGTHS.size
    for length in lengths:
        programs.append(data[at : at + length])
        at += length
    return Filters(*programs)


def _write(path: str, filters: Filters) -> None:
    write_private(path, b"".join((_LENGTHS.pack(*map(len, filters)), *filters)))
