"""What /proc tells of the machine, and what can be set by it: nothing of either."""

import os
from collections.abc import Mapping

import pytest
from arena.attacks import NAMESPACES, Attack, Program, check, identify, table
from arena.sandbox import attempt_inside, attempt_outside

SETTINGS = Program("proc/settings.c")
# Without a sandbox these are root's, also in a user namespace; a kernel may lack what is behind them.
ROOTS = "got|ENOENT" if os.geteuid() == 0 else "EACCES|EPERM|ENOENT|got"
# The sandbox puts an empty device over what a kernel has.
COVERED = "ENODEV|ENOENT"

ATTACKS = [
    *table(
        SETTINGS,
        f"""
        set-core-pattern                EROFS|EACCES    {ROOTS}
        set-modprobe                    EROFS|EACCES|ENOENT {ROOTS}
        set-overcommit                  EROFS|EACCES    {ROOTS}
        drop-caches                     EROFS|EACCES    {ROOTS}
        set-irq-affinity                EROFS|EACCES    {ROOTS}
        sysrq                           {COVERED}       {ROOTS}
        read-kcore                      {COVERED}       {ROOTS}
        read-kmsg                       {COVERED}       {ROOTS}|EPERM
        read-timer-list                 {COVERED}       {ROOTS}
        read-slabinfo                   {COVERED}       {ROOTS}
        read-vmallocinfo                {COVERED}       {ROOTS}
        read-kpagecount                 {COVERED}       {ROOTS}
        read-kallsyms                   {COVERED}       got|ENOENT
        read-the-kernels-command-line   {COVERED}       got
        read-keys                       {COVERED}       got|ENOENT|ENODATA
        read-key-users                  {COVERED}       got|ENOENT|ENODATA
        read-interrupts                 {COVERED}       got
        read-config                     {COVERED}       got|ENOENT
        write-own-oom-score             EROFS|EACCES    got
        write-own-oom-adj               EROFS|EACCES    got
        write-own-name                  EROFS|EACCES    got
        write-own-uid-map               EROFS|EACCES    got
        write-own-time-offsets          EROFS|EACCES|ENOENT got|ENOENT
        write-own-memory                EROFS|EACCES    got
        write-own-core-filter           EROFS|EACCES    got
        write-own-references            EROFS|EACCES    got
        write-own-timer-slack           EROFS|EACCES    got
        """,
    ),
    *table(
        SETTINGS._replace(control=NAMESPACES),
        f"""
        set-the-hostname                EROFS|EACCES    {ROOTS}
        set-max-user-namespaces         EROFS|EACCES    got
        set-ip-forward                  EROFS|EACCES    got
        set-shmmax                      EROFS|EACCES    got|EACCES
        write-own-setgroups             EROFS|EACCES    got
        """,
    ),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=identify)
def test_of_the_machine_nothing_is_told_or_set_by(attack: Attack, targets: Mapping[str, str]) -> None:
    check(attack, targets)


def test_the_place_among_the_hosts_cgroups_is_not_told() -> None:
    body = "return sorted({line.rstrip().split(':', 2)[2] for line in open('/proc/self/cgroup')})"
    assert all(path == "/" or path.startswith("/..") for path in attempt_inside(body).got)
    assert attempt_outside(body).got


def test_every_mount_is_nosuid_and_only_devices_are_devices() -> None:
    body = """
        lines = [line.split() for line in open('/proc/self/mountinfo')]
        return [line[4] for line in lines if 'nosuid' not in line[5] or 'nodev' not in line[5]]
    """
    devices = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}
    left = [path for path in attempt_inside(body).got if path not in devices]
    # /dev/null covers files of /proc.
    assert all(path.startswith("/proc/") for path in left)
    assert "/" in attempt_outside(body).got
