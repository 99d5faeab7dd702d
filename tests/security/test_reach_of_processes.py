"""Other processes: those of the host are not there, and init keeps the server, not the server init."""

import os
from collections.abc import Mapping

import pytest
from arena.attacks import NAMESPACES, Attack, Program, check, identify, table

SIGNALS = Program("processes/signals.c", aims=(("INIT", "1"),))
KEEPER = Program("processes/keeper.c", control=NAMESPACES)

# No setting gives a user these, with a sandbox or without.
AS_ROOT = "got" if os.geteuid() == 0 else "EPERM"
URGENT = "got" if os.geteuid() == 0 else "EACCES"

ATTACKS = [
    *table(
        SIGNALS,
        f"""
        probe-the-victim            ESRCH           got
        continue-the-victim         ESRCH           got
        signal-its-group            ESRCH           got
        signal-its-thread           ESRCH           got
        signal-any-thread           ESRCH           got
        queue-a-signal              ESRCH           got
        signal-by-pidfd             ESRCH           got
        signal-as-owner-of-a-pipe   ESRCH           got
        ask-its-priority            ESRCH           got
        ask-its-scheduler           ESRCH           got
        ask-its-processors          ESRCH           got
        ask-its-limits              ESRCH           got
        ask-its-session             ESRCH           got
        ask-its-clock               ESRCH           got
        ask-its-futexes             ESRCH           got
        read-its-command-line       ENOENT          got
        read-its-environment        ENOENT          got
        read-its-memory             ENOENT          got
        list-its-descriptors        ENOENT          got
        stop-init                   EPERM|ECANCELED got
        fault-init                  EPERM|ECANCELED got
        alarm-init                  EPERM|ECANCELED got
        kill-init                   EPERM|ECANCELED got
        real-time                   EPERM           {AS_ROOT}
        deadline                    EPERM           {AS_ROOT}
        urgent                      EACCES          {URGENT}
        urgent-disk                 EPERM           {AS_ROOT}
        """,
    ),
    *table(
        KEEPER,
        """
        renice-the-user                 EPERM   got
        batch-scheduling-of-init        EPERM   got
        idle-scheduling-of-init         EPERM   got
        scheduling-parameters-of-init   EPERM   got
        pin-init-to-a-processor         EPERM   got
        renice-init                     EPERM   got
        idle-disk-for-init              EPERM   got
        read-limits-of-init             EPERM   got
        few-files-for-init              EPERM   got
        little-time-for-init            EPERM   got
        little-memory-for-init          EPERM   got
        few-signals-for-init            EPERM   got
        memory-of-init                  EACCES  got
        environment-of-init             EACCES  got
        auxiliary-vector-of-init        EACCES  got
        maps-of-init                    EACCES  got
        rollup-of-init                  EACCES  got
        stack-of-init                   EACCES  got
        system-call-of-init             EACCES  got
        memory-of-inits-thread          EACCES  got
        root-of-init                    EACCES  got
        folder-of-init                  EACCES  got
        descriptor-of-init              EACCES  got
        namespace-of-init               EACCES  got
        mapped-files-of-init            EACCES  got
        oom-score-of-init               EACCES|EROFS  got
        name-of-init                    EACCES|EROFS  got
        references-of-init              EACCES|EROFS  got
        core-filter-of-init             EACCES|EROFS  got
        timer-slack-of-init             EACCES|EROFS  got
        group-of-init                   ESRCH   got
        """,
    ),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=identify)
def test_of_other_processes_nothing_is_gained_by(attack: Attack, targets: Mapping[str, str]) -> None:
    check(attack, targets)
