"""Why a host refuses to build a sandbox, and what mends it."""

from __future__ import annotations

import errno

from mcp_client.errors import MCPError

WAY_AROUND = "; or accept a weaker sandbox with --allow-degraded"
"""How the hint ends where the user may choose the restricted sandbox."""

_APPARMOR = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"
_CLONE_SWITCH = "/proc/sys/kernel/unprivileged_userns_clone"
_LIMIT = "/proc/sys/user/max_user_namespaces"
_FIRST_STAGES = frozenset({"create namespaces", "map the user"})
_PRIVILEGED_STAGES = frozenset(
    {"bring up loopback", "open mount sources", "build the root", "enter the root", "refuse user namespaces"}
)
_FILTER_STAGES = frozenset({"load the gate", "load the system call filter"})


def explain(stage: str, number: int, detail: str) -> MCPError:
    """The error for a set-up step that failed with errno ``number``."""
    if stage in _FIRST_STAGES or (stage in _PRIVILEGED_STAGES and _capabilities_withheld(number)):
        return MCPError(
            "sandbox-unavailable",
            f"this host does not let a user build a sandbox ({stage}: {detail})",
            hint=_namespace_mend(number) + WAY_AROUND,
        )
    if stage == "build the root" and detail.startswith("proc ") and number == errno.EPERM:
        return MCPError(
            "sandbox-unavailable",
            f"a private /proc is refused ({detail})",
            hint="inside a container: start it with an unmasked /proc "
            "(docker: --security-opt systempaths=unconfined)",
        )
    if stage == "leave the host's groups":
        return MCPError(
            "sandbox-unavailable",
            f"this is root of a user namespace that has no other user ({stage}: {detail})",
            hint="run mcp as the user itself, outside of that namespace",
        )
    if stage in _FILTER_STAGES and number in {errno.EINVAL, errno.ENOSYS}:
        return MCPError(
            "sandbox-unavailable",
            f"this kernel does not filter system calls ({stage}: {detail})",
            hint="use a kernel with CONFIG_SECCOMP_FILTER, version 5.12 or later",
        )
    return MCPError(
        "sandbox-setup-failed",
        f"could not {stage}: {detail}",
        hint="nothing was started; 'mcp doctor' tries each control by itself",
    )


def _capabilities_withheld(number: int) -> bool:
    """AppArmor on Ubuntu grants the namespace, and then none of the capabilities that come with it."""
    return number in {errno.EPERM, errno.EACCES} and _setting(_APPARMOR) == "1"


def _namespace_mend(number: int) -> str:
    if _setting(_APPARMOR) == "1":
        return (
            "AppArmor restricts user namespaces here: install the AppArmor profile of mcp-client, or run "
            "'sysctl kernel.apparmor_restrict_unprivileged_userns=0' as root"
        )
    if _setting(_CLONE_SWITCH) == "0":
        return "run 'sysctl kernel.unprivileged_userns_clone=1' as root"
    if _setting(_LIMIT) == "0" or number == errno.ENOSPC:
        return "run 'sysctl user.max_user_namespaces=15000' as root"
    return (
        "inside a container, its seccomp profile forbids unshare(2): start it with one that allows user "
        "namespaces (docker: --security-opt seccomp=unconfined)"
    )


def _setting(path: str) -> str | None:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None
