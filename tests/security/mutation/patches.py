"""Ways to switch something of the product off, in this process only."""

import functools
import os
from collections.abc import Callable
from typing import Any

import pyseccomp

from mcp_client.sandbox.linux import layout, libc, mounts, privileges, seccomp, server, syscalls
from mcp_client.sandbox.linux.filters import Profile
from mcp_client.sandbox.spec import MountOperation

Patch = Callable[[], None]

# The server is the second process of its pid namespace.
SERVER = 2


def several(*patches: Patch) -> Patch:
    """All of them: a control and the look whether it is there."""

    def apply() -> None:
        for patch in patches:
            patch()

    return apply


def replaced(owner: Any, name: str, value: Any) -> Patch:
    """``value`` takes the place of what ``owner`` has under ``name``, which must exist."""

    def apply() -> None:
        assert hasattr(owner, name), f"{owner} has no {name}"
        setattr(owner, name, value)

    return apply


def silenced(owner: Any, name: str, answer: Any = None) -> Patch:
    """The function does nothing any more and returns ``answer``."""
    return replaced(owner, name, lambda *_arguments, **_options: answer)


def wrapped(owner: Any, name: str, wrapper: Callable[..., Any]) -> Patch:
    """``wrapper`` is called with the original function before the arguments."""

    def apply() -> None:
        setattr(owner, name, functools.partial(wrapper, getattr(owner, name)))

    return apply


def only_elsewhere(owner: Any, name: str, *, in_server: bool) -> Patch:
    """The function does nothing in the server's process, or nothing in any other."""

    def call(original: Callable[..., Any], *arguments: Any) -> Any:
        return None if (os.getpid() == SERVER) == in_server else original(*arguments)

    return wrapped(owner, name, call)


def without_prctl(option: int, *, value: int | None = None) -> Patch:
    """That prctl(2) is not made, or with another ``value``."""

    def prctl(original: Callable[..., None], asked: int, given: int = 0) -> None:
        if asked != option:
            original(asked, given)
        elif value is not None:
            original(asked, value)

    return wrapped(libc, "prctl", prctl)


def believing(*patches: Patch) -> Patch:
    """The same where nobody looks afterwards whether privileges are gone."""
    return several(*patches, silenced(privileges, "assert_unprivileged"))


def without_unshare(flag: int) -> Patch:
    """That namespace stays the host's."""

    def unshare(original: Callable[[int], None], flags: int) -> None:
        if flags & ~flag:
            original(flags & ~flag)

    return wrapped(libc, "unshare", unshare)


def without_attribute(attribute: int) -> Patch:
    """No mount gets that attribute."""

    def change(original: Callable[..., None], mount: int, attributes: int, **options: Any) -> None:
        original(mount, attributes & ~attribute, **options)

    def new(original: Callable[..., int], kind: str, attributes: int, **options: str) -> int:
        return original(kind, attributes & ~attribute, **options)

    return several(wrapped(libc, "set_mount_attributes", change), wrapped(libc, "new_filesystem", new))


def without_attribute_of(wanted: Callable[[Any], bool], attribute: int) -> Patch:
    """Binds of that kind do not get it."""

    def attributes(original: Callable[[Any], int], operation: Any) -> int:
        found = original(operation)
        return found & ~attribute if wanted(operation) else found

    return wrapped(mounts, "_bind_attributes", attributes)


def without_option(option: str) -> Patch:
    """File systems in memory are made without that limit."""

    def new(original: Callable[..., int], kind: str, attributes: int, **options: str) -> int:
        options.pop(option, None)
        return original(kind, attributes, **options)

    return wrapped(libc, "new_filesystem", new)


def without_operations(unwanted: Callable[[MountOperation], bool]) -> Patch:
    """These operations are not part of any plan."""

    def plan(
        original: Callable[..., tuple[MountOperation, ...]], **options: Any
    ) -> tuple[MountOperation, ...]:
        return tuple(operation for operation in original(**options) if not unwanted(operation))

    return wrapped(layout, "plan_mounts", plan)


def with_operations(function: str, *more: MountOperation) -> Patch:
    """``function`` of the layout yields these as well."""

    def operations(original: Callable[[], Any]) -> Any:
        yield from original()
        yield from more

    return wrapped(layout, function, operations)


def without_limit(limit: int) -> Patch:
    """That rlimit stays what the caller has."""

    def limits(original: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        return {name: value for name, value in original(*arguments, **options).items() if name != limit}

    return wrapped(server, "resource_limits", limits)


def allowing_program(field: str) -> Patch:
    """One of the filter programs lets everything through."""

    def compiled(original: Callable[..., Any], profile: Profile) -> Any:
        everything = seccomp._export(pyseccomp.SyscallFilter(pyseccomp.ALLOW))
        return original(profile)._replace(**{field: everything})

    return wrapped(seccomp, "compile_filters", compiled)


def allowing_call(name: str) -> Patch:
    """That system call is on the list, whatever its arguments."""
    return replaced(syscalls, "ALLOWED", (*syscalls.ALLOWED, name))


def without_restrictions(syscall: str, condition: tuple[int, int, int] | None = None) -> Patch:
    """No argument of that call is refused any more, or not for that condition."""
    left = tuple(
        restriction
        for restriction in syscalls.RESTRICTIONS
        if restriction.syscall != syscall
        or (condition is not None and condition not in restriction.conditions)
    )
    assert len(left) < len(syscalls.RESTRICTIONS), syscall
    return replaced(syscalls, "RESTRICTIONS", left)
