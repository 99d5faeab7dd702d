"""The gate: one program with ``subprocess: false``, and a counted number of processes with ``true``."""

import pytest
from arena.attacks import NAMESPACES, Attack, Program, check, identify, table

from mcp_client.policy.model import DEFAULT_LIMITS

ONE_PROGRAM = Program("gate/programs.c")
ONE_PROCESS = Program("gate/processes.c", control=NAMESPACES)
EIGHT = Program(
    "gate/processes.c",
    subprocess=True,
    limits=DEFAULT_LIMITS._replace(processes=8, cpu=8000),
    control=NAMESPACES,
)

PROGRAMS = table(
    ONE_PROGRAM,
    """
    execve-again                EPERM   got
    execve-system-program       EPERM   got
    execve-proc-self-exe        EPERM   got
    execveat-absolute           EPERM   got
    execveat-absolute-cwd       EPERM   got
    execveat-empty-path         EPERM   got
    execveat-o-path             EPERM   got
    execveat-high-descriptor    EPERM   got
    execve-proc-self-fd         EPERM   got
    execveat-memfd              EPERM   got
    execve-memfd-by-name        EPERM   got
    execve-loader               EPERM   got
    execve-shell                EPERM   got
    execve-in-a-thread          EPERM   got
    execve-threads-at-once      EPERM   got
    execve-between-signals      EPERM   got
    execve-after-a-failure      EPERM   got
    posix-spawn                 EPERM   got
    vfork-and-execve            EPERM   got
    system                      EPERM   got
    popen                       EPERM|ENOMEM got
    """,
    alone=True,
)

ALONE = table(
    ONE_PROCESS,
    """
    forks                       EPERM   got=24
    clones                      EPERM   got=24
    clones-without-signal       EPERM   got=24
    clones-untraced             EPERM   got=24
    clones-with-high-bits       EPERM   got=24
    clones-sharing-memory       EPERM   got=24
    forks-by-threads-at-once    got=0   got=24
    threads                     got=100 got=100
    """,
    alone=True,
)

# The server is one of the eight.
COUNTED = table(
    EIGHT,
    """
    forks                       got=7   got=24
    clones                      got=7   got=24
    clones-without-signal       got=7   got=24
    clones-untraced             got=7   got=24
    clones-with-high-bits       got=7   got=24
    clones-sharing-memory       got=7   got=24
    a-chain-of-forks            got=7   got=24
    zombies                     got=7   got=24
    forks-by-threads-at-once    got<=7  got=24
    forks-that-take-their-time  got<=7  got<=24
    threads                     got=100 got=100
    forks-one-after-another     got=24  got=24
    """,
    alone=True,
)


@pytest.mark.parametrize("attack", PROGRAMS, ids=identify)
def test_the_first_program_stays_the_only_one(attack: Attack) -> None:
    check(attack)


@pytest.mark.parametrize("attack", ALONE, ids=identify)
def test_one_process_stays_alone(attack: Attack) -> None:
    check(attack)


@pytest.mark.parametrize("attack", COUNTED, ids=identify)
def test_processes_are_counted_and_threads_are_free(attack: Attack) -> None:
    check(attack)
