"""The system call filter: calls that do not exist, and other ways in that lead to the same answer."""

import os
import platform

import pytest
from arena import sandbox
from arena.attacks import NAMESPACES, Attack, Program, check, hear_inside, identify, table

from mcp_client.sandbox.linux import seccomp

CALLS = Program("abi/calls.c", subprocess=True, control=NAMESPACES)
ENTRANCES = Program("abi/entrances.c", subprocess=True)

# Refused outside as well where a host closes a call to users or an old kernel lacks it: the answer is
# then the kernel's own, and a different one from the filter's, but for the calls that an old kernel lacks.
ATTACKS = [
    *table(
        CALLS,
        """
        ptrace-traceme          ENOSYS  got
        ptrace-seize-child      ENOSYS  got
        read-a-childs-memory    ENOSYS  got=8
        write-a-childs-memory   ENOSYS  got=8
        take-a-descriptor       ENOSYS  got
        compare-processes       ENOSYS  got
        advise-a-process        ENOSYS  got|EPERM
        move-pages              ENOSYS  got
        unshare-user            ENOSYS  got
        unshare-mounts          ENOSYS  got
        unshare-network         ENOSYS  got
        unshare-files           ENOSYS  got
        setns-network           ENOSYS  got
        setns-uts               ENOSYS  got
        setns-by-pidfd          ENOSYS  got
        bpf-map                 ENOSYS  got|EPERM
        perf-event              ENOSYS  got|EACCES
        userfaultfd             ENOSYS  got|EPERM
        io-uring                ENOSYS  got|EPERM
        io-setup                ENOSYS  got
        add-key                 ENOSYS  got
        request-key             ENOSYS  ENOKEY
        keyctl                  ENOSYS  got
        name-to-handle          ENOSYS  got
        open-by-handle          ENOSYS  got|EPERM|ESTALE
        sethostname             ENOSYS  got
        setdomainname           ENOSYS  got
        fanotify                ENOSYS  got
        memfd-secret            ENOSYS  got|ENOSYS
        openat2                 ENOSYS  got
        clone3                  ENOSYS  got
        clone3-newuser          ENOSYS  got
        listmount               ENOSYS  got|ENOSYS
        open-tree               ENOSYS  got
        fsopen                  ENOSYS  got
        fspick                  ENOSYS  got
        mount-setattr           ENOSYS  got
        remount-proc            ENOSYS  got
        bind-mount              ENOSYS  got
        mount-tmpfs             ENOSYS  got
        mount-proc              ENOSYS  got
        umount-proc             ENOSYS  got
        pivot-root              ENOSYS  got|EINVAL|EBUSY
        chroot                  ENOSYS  got
        """,
    ),
    *table(
        ENTRANCES,
        """
        high-bit-unshare            ENOSYS  got
        high-bit-ptrace             ENOSYS  got
        all-high-bits-unshare       ENOSYS  got
        clone-newuser-high-bit      ENOSYS  got
        socket-family-high-bit      ENOSYS  got|EAFNOSUPPORT
        setuid-mode-high-bit        EPERM   got
        thread-in-a-namespace       ENOSYS  EPERM|got
        child-of-init               ENOSYS  got
        second-listener             EPERM   got
        second-listener-high-bit    EPERM   got
        second-listener-all-threads EPERM   got
        milder-filter               ENOSYS  got
        undo-no-new-privs           EINVAL  EINVAL
        no-randomisation            ENOSYS  got
        no-randomisation-high-bit   ENOSYS  got
        """,
        alone=True,
    ),
]
# A kernel built without x32 answers as the filter does; int 0x80 works on each that has 32-bit programs.
ATTACKS_ON_X86 = table(
    ENTRANCES,
    """
    x32-getpid          ENOSYS      got|ENOSYS
    x32-ptrace          ENOSYS      got|ENOSYS
    x32-execve          ENOSYS      got|ENOSYS|EFAULT
    x32-high-bit        ENOSYS      got|ENOSYS
    int-0x80            signal=31   got=1
    compatibility-mode  signal=31|signal=9   got=1|signal=9
    """,
    alone=True,
)
if platform.machine() == "x86_64":
    ATTACKS += ATTACKS_ON_X86


@pytest.mark.parametrize("attack", ATTACKS, ids=identify)
def test_of_the_kernel_nothing_is_gained_by(attack: Attack) -> None:
    check(attack)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x32 is an ABI of x86")
def test_without_its_own_rule_a_call_of_x32_would_be_deadly(
    tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the x32 attacks: most kernels lack that ABI and say the same as the rule."""
    monkeypatch.setattr(seccomp, "_unknown_x32", lambda: b"")
    monkeypatch.setattr(sandbox, "filter_folder", lambda: os.path.join(tmp_path, "filters"))
    program = ENTRANCES._replace(arguments=("x32-getpid",))
    assert hear_inside(program, {})["end"] == "signal=31"
