"""Compile the system call profile with libseccomp; imported only when no compiled form is in the cache."""

import errno
import os

import pyseccomp

from mcp_client.sandbox.linux import syscalls

_LOW_32_BITS = 0xFFFFFFFF
_BINARY_TREE = 2


def compile_filters(*, subprocess: bool) -> tuple[bytes, bytes]:
    """Two BPF programs, both to be loaded: which calls exist, and which arguments they may not have.

    The kernel applies the stricter answer of the two. Arguments of 32 bits are compared under a mask, since
    the kernel ignores the upper half and a plain comparison does not. Raises OSError.
    """
    return _export(_allowed_calls(subprocess=subprocess)), _export(_forbidden_arguments())


def _masked(argument: int, mask: int, value: int) -> pyseccomp.Arg:
    return pyseccomp.Arg(argument, pyseccomp.MASKED_EQ, mask, value)


def _new_filter(default: int) -> pyseccomp.SyscallFilter:
    program = pyseccomp.SyscallFilter(default)
    # Another ABI (int 0x80, x32) has other numbers for the same calls; nothing honest uses one.
    program.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    return program


def _known(syscall: str) -> bool:
    """Whether this libseccomp knows the name; an unknown call stays closed."""
    return bool(pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, syscall) != -1)


def _allowed_calls(*, subprocess: bool) -> pyseccomp.SyscallFilter:
    program = _new_filter(pyseccomp.ERRNO(errno.ENOSYS))
    program.set_attr(pyseccomp.Attr.CTL_OPTIMIZE, _BINARY_TREE)
    forks = syscalls.FORKS if subprocess else ()
    for name in filter(_known, (*syscalls.ALLOWED, *forks)):
        program.add_rule(pyseccomp.ALLOW, name)
    if subprocess:
        program.add_rule(pyseccomp.ALLOW, "clone", _masked(0, syscalls.CLONE_NAMESPACES, 0))
    else:
        thread = syscalls.CLONE_THREAD
        allowed = _masked(0, syscalls.CLONE_NAMESPACES | thread, thread)
        program.add_rule(pyseccomp.ALLOW, "clone", allowed)
        # Not ENOSYS: servers that probe for a helper survive a refusal, not a kernel without fork.
        program.add_rule(pyseccomp.ERRNO(errno.EPERM), "clone", _masked(0, thread, 0))
        for name in filter(_known, syscalls.FORKS):
            program.add_rule(pyseccomp.ERRNO(errno.EPERM), name)
    for family in syscalls.SOCKET_FAMILIES:
        program.add_rule(pyseccomp.ALLOW, "socket", _masked(0, _LOW_32_BITS, family))
    netlink = _masked(0, _LOW_32_BITS, syscalls.AF_NETLINK)
    route = _masked(2, _LOW_32_BITS, syscalls.NETLINK_ROUTE)
    program.add_rule(pyseccomp.ALLOW, "socket", netlink, route)
    program.add_rule(pyseccomp.ALLOW, "socketpair", _masked(0, _LOW_32_BITS, syscalls.AF_UNIX))
    for value in syscalls.PERSONALITIES:
        program.add_rule(pyseccomp.ALLOW, "personality", _masked(0, _LOW_32_BITS, value))
    return program


def _forbidden_arguments() -> pyseccomp.SyscallFilter:
    program = _new_filter(pyseccomp.ALLOW)
    for restriction in syscalls.RESTRICTIONS:
        if _known(restriction.syscall):
            conditions = [_masked(*condition) for condition in restriction.conditions]
            program.add_rule(pyseccomp.ERRNO(errno.EPERM), restriction.syscall, *conditions)
    return program


def _export(program: pyseccomp.SyscallFilter) -> bytes:
    descriptor = os.memfd_create("filter", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "w+b") as file:
        program.export_bpf(file)
        file.seek(0)
        return file.read()
