"""Compiled system call filters, kept in the cache so that a warm start does not load libseccomp."""

import hashlib
import os

from mcp_client.errors import MCPError
from mcp_client.private import read_private, write_private

_SOURCES = ("syscalls.py", "seccomp.py")
_INSTRUCTION = 8
_LARGEST_FILE = 1 << 20


def load_filters(folder: str, *, subprocess: bool) -> tuple[bytes, ...]:
    """The BPF programs for this machine, from ``folder`` or compiled now.

    The file name carries a hash of the profile's source, so a changed profile is never served from an old
    file. A folder that cannot be written costs time, not safety. Raises ``sandbox-unavailable``.
    """
    path = os.path.join(folder, f"{_profile_key(subprocess=subprocess)}.bpf")
    programs = _read(path)
    if programs is None:
        programs = _compile(subprocess=subprocess)
        _write(path, programs)
    return programs


def _profile_key(*, subprocess: bool) -> str:
    here = os.path.dirname(__file__)
    profile = hashlib.sha256(f"{os.uname().machine} {subprocess}".encode())
    for name in _SOURCES:
        with open(os.path.join(here, name), "rb") as file:
            profile.update(file.read())
    return profile.hexdigest()[:32]


def _compile(*, subprocess: bool) -> tuple[bytes, ...]:
    try:
        from mcp_client.sandbox.linux.seccomp import compile_filters
    except (ImportError, RuntimeError, OSError) as error:
        raise MCPError(
            "sandbox-unavailable",
            f"the system call filter cannot be built: {error}",
            hint="install libseccomp (Debian, Ubuntu: apt-get install libseccomp2)",
        ) from error
    try:
        return compile_filters(subprocess=subprocess)
    except OSError as error:
        raise MCPError(
            "sandbox-unavailable",
            f"the system call filter does not compile: {error}",
            hint="update libseccomp; version 2.5 or later is needed",
        ) from error


def _read(path: str) -> tuple[bytes, ...] | None:
    """A stored file is the first program's length in instructions, then both programs."""
    data = read_private(path, _LARGEST_FILE)
    if data is None:
        return None
    split = _INSTRUCTION + int.from_bytes(data[:_INSTRUCTION], "little") * _INSTRUCTION
    programs = data[_INSTRUCTION:split], data[split:]
    whole = all(program and len(program) % _INSTRUCTION == 0 for program in programs)
    return programs if whole else None


def _write(path: str, programs: tuple[bytes, ...]) -> None:
    length = (len(programs[0]) // _INSTRUCTION).to_bytes(_INSTRUCTION, "little")
    write_private(path, b"".join((length, *programs)))
