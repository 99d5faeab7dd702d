"""Compile the system call profile with libseccomp; imported only when no compiled form is in the cache."""

import errno
import os
import struct
from collections.abc import Iterable
from typing import Any

from mcp_client.sandbox.linux import syscalls
from mcp_client.sandbox.linux.filters import Filters, Profile
from mcp_client.sandbox.linux.libseccomp import load_pyseccomp
from mcp_client.sandbox.linux.restricted import syscalls as restrictions

pyseccomp = load_pyseccomp()

_LOW_32_BITS = 0xFFFFFFFF
_BINARY_TREE = 2

# linux/bpf_common.h, linux/seccomp.h, linux/audit.h
_INSTRUCTION = struct.Struct("=HBBI")
_LOAD_WORD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_OFFSET_NUMBER, _OFFSET_ARCHITECTURE = 0, 4
_RETURN_ERRNO = 0x00050000
_AUDIT_ARCH_X86_64 = 0xC000003E
_X32_SYSCALL_BIT = 0x40000000


def compile_filters(profile: Profile) -> Filters:
    """The BPF programs, all to be loaded; the kernel applies the strictest answer.

    A restricted profile also refuses what only a namespace could bound.

    Arguments of 32 bits are compared under a mask, since the kernel ignores the upper half and a plain
    comparison does not. Raises OSError.
    """
    subprocess, exits, restricted = profile
    return Filters(
        gate=_export(_asked_at_the_gate(subprocess=subprocess, exits=exits)),
        calls=_export(_allowed_calls(subprocess=subprocess, restricted=restricted)),
        arguments=_export(_forbidden_arguments(syscalls.RESTRICTIONS, restricted=restricted)),
        sockets=_export(_forbidden_arguments(syscalls.FOREIGN_SOCKET_RESTRICTIONS, restricted=False)),
    )


def _asked_at_the_gate(*, subprocess: bool, exits: bool) -> Any:
    """What init decides, call by call: new processes where they are allowed, else new programs."""
    program = _new_filter(pyseccomp.ALLOW)
    if exits:
        program.add_rule(pyseccomp.NOTIFY, "connect")
    if subprocess:
        program.add_rule(pyseccomp.NOTIFY, "clone", _masked(0, syscalls.CLONE_THREAD, 0))
    for name in filter(_known, syscalls.FORKS if subprocess else syscalls.EXECUTIONS):
        program.add_rule(pyseccomp.NOTIFY, name)
    return program


def _masked(argument: int, mask: int, value: int) -> Any:
    return pyseccomp.Arg(argument, pyseccomp.MASKED_EQ, mask, value)


def _new_filter(default: int) -> Any:
    program = pyseccomp.SyscallFilter(default)
    # Another ABI (int 0x80) has other numbers for the same calls; nothing honest uses one.
    program.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    return program


def _known(syscall: str) -> bool:
    """Whether this libseccomp knows the name; an unknown call stays closed."""
    return bool(pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, syscall) != -1)


def _allowed_calls(*, subprocess: bool, restricted: bool) -> Any:
    program = _new_filter(pyseccomp.ERRNO(errno.ENOSYS))
    program.set_attr(pyseccomp.Attr.CTL_OPTIMIZE, _BINARY_TREE)
    forks = syscalls.FORKS if subprocess else ()
    withheld = restrictions.REFUSED if restricted else frozenset()
    for name in filter(_known, withheld):
        program.add_rule(pyseccomp.ERRNO(errno.EPERM), name)
    for name in filter(_known, (*syscalls.ALLOWED, *forks)):
        if name not in withheld and not (restricted and name == "ioctl"):
            program.add_rule(pyseccomp.ALLOW, name)
    if subprocess:
        refused = syscalls.CLONE_NAMESPACES | syscalls.CLONE_PARENT
        program.add_rule(pyseccomp.ALLOW, "clone", _masked(0, refused, 0))
    else:
        thread = syscalls.CLONE_THREAD
        allowed = _masked(0, syscalls.CLONE_NAMESPACES | thread, thread)
        program.add_rule(pyseccomp.ALLOW, "clone", allowed)
        # Not ENOSYS: servers that probe for a helper survive a refusal, not a kernel without fork.
        program.add_rule(pyseccomp.ERRNO(errno.EPERM), "clone", _masked(0, thread, 0))
        for name in filter(_known, syscalls.FORKS):
            program.add_rule(pyseccomp.ERRNO(errno.EPERM), name)
    if restricted:
        _add_restricted_sockets(program)
    else:
        _add_sockets(program)
    for value in syscalls.PERSONALITIES:
        program.add_rule(pyseccomp.ALLOW, "personality", _masked(0, _LOW_32_BITS, value))
    return program


def _add_sockets(program: Any) -> None:
    for family in syscalls.SOCKET_FAMILIES:
        program.add_rule(pyseccomp.ALLOW, "socket", _masked(0, _LOW_32_BITS, family))
    netlink = _masked(0, _LOW_32_BITS, syscalls.AF_NETLINK)
    route = _masked(2, _LOW_32_BITS, syscalls.NETLINK_ROUTE)
    program.add_rule(pyseccomp.ALLOW, "socket", netlink, route)
    program.add_rule(pyseccomp.ALLOW, "socketpair", _masked(0, _LOW_32_BITS, syscalls.AF_UNIX))


def _add_restricted_sockets(program: Any) -> None:
    family = _masked(0, _LOW_32_BITS, syscalls.AF_UNIX)
    for kind in syscalls.CONNECTED_TYPES:
        paired = _masked(1, syscalls.SOCKET_TYPE_MASK, kind)
        program.add_rule(pyseccomp.ALLOW, "socketpair", family, paired)
    terminal = _masked(1, restrictions.IOCTL_MASK, restrictions.TERMINAL_IOCTLS)
    program.add_rule(pyseccomp.ALLOW, "ioctl", terminal)


def _forbidden_arguments(forbidden: Iterable[syscalls.Restriction], *, restricted: bool) -> Any:
    program = _new_filter(pyseccomp.ALLOW)
    for restriction in (*forbidden, *(restrictions.RESTRICTIONS if restricted else ())):
        if _known(restriction.syscall):
            conditions = [_masked(*condition) for condition in restriction.conditions]
            program.add_rule(pyseccomp.ERRNO(errno.EPERM), restriction.syscall, *conditions)
    for name, values in restrictions.ONLY.items() if restricted else ():
        for argument, value in values:
            # All 64 bits: what only looks like the value to the kernel is refused, never let through.
            other = pyseccomp.Arg(argument, pyseccomp.NE, value)
            program.add_rule(pyseccomp.ERRNO(errno.EPERM), name, other)
    return program


def _export(program: Any) -> bytes:
    descriptor = os.memfd_create("filter", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "w+b") as file:
        program.export_bpf(file)
        file.seek(0)
        return _unknown_x32() + file.read()


def _unknown_x32() -> bytes:
    """Instructions before all others: x32 calls do not exist, as on a kernel without them.

    They share the architecture's number with the native ones, and libseccomp could only kill for both.
    """
    if os.uname().machine != "x86_64":
        return b""
    return b"".join(
        _INSTRUCTION.pack(*instruction)
        for instruction in (
            (_LOAD_WORD, 0, 0, _OFFSET_ARCHITECTURE),
            (_JUMP_EQUAL, 0, 3, _AUDIT_ARCH_X86_64),
            (_LOAD_WORD, 0, 0, _OFFSET_NUMBER),
            (_JUMP_AT_LEAST, 0, 1, _X32_SYSCALL_BIT),
            (_RETURN, 0, 0, _RETURN_ERRNO | errno.ENOSYS),
        )
    )
