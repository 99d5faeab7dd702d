"""Give up every privilege, and look whether that is so (capabilities(7))."""

from __future__ import annotations

import errno

from mcp_client.sandbox.linux import libc

CAP_CHOWN, CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SETPCAP = 0, 5, 6, 7, 8
# Lock every behaviour that gives meaning to uid 0 (capabilities(7), "The securebits flags").
_SECURE_BITS = 0b11101111


def lock_meaning_of_root() -> None:
    """Being uid 0, or becoming it, gives no capability any more; needs CAP_SETPCAP."""
    libc.prctl(libc.PR_SET_SECUREBITS, _SECURE_BITS)


def drop_privileges(*, bounding: bool = True) -> None:
    """Empty every capability set for good. Raises OSError when something is left.

    ``bounding`` says whether the caller may empty that set too (CAP_SETPCAP); without it no_new_privs still
    keeps everything from it.
    """
    libc.drop_all_capabilities()
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    assert_unprivileged(bounding=bounding)


def assert_unprivileged(*, bounding: bool) -> None:
    """Raise PermissionError unless all of it is gone."""
    wanted = {"CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapAmb": 0, "NoNewPrivs": 1}
    if bounding:
        wanted["CapBnd"] = 0
    found = _status()
    for name, value in wanted.items():
        if int(found[name], 16) != value:
            raise PermissionError(errno.EPERM, f"{name} is {found[name].strip()}, not {value}")


def holds(*capabilities: int) -> bool:
    """Whether all of them are effective."""
    effective = int(_status()["CapEff"], 16)
    return all(effective >> capability & 1 for capability in capabilities)


def _status() -> dict[str, str]:
    with open("/proc/self/status", encoding="utf-8") as file:
        return dict(line.split(":\t", 1) for line in file if ":\t" in line)
