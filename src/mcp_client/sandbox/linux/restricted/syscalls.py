"""What the restricted sandbox takes from the list of system calls, as data.

Landlock decides about opening, making, moving and removing files. What it does not look at, and what only a
namespace could bound, is refused here with EPERM: attributes of files by path or descriptor, IPC objects and
sockets of the whole machine, and reaching for other processes by their number.
"""

from mcp_client.sandbox.linux.syscalls import Restriction

_ATTRIBUTES = """
    chmod chown fchmod fchmodat fchmodat2 fchown fchownat fremovexattr fsetxattr futimesat getxattr lchown
    lgetxattr listxattr llistxattr lremovexattr lsetxattr removexattr setxattr truncate utime utimensat utimes
""".split()
# Watching needs no more than the right to read a folder, and no rule of Landlock's.
_WATCHES = ("inotify_add_watch",)
_IPC = """
    mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl
    semget semop semtimedop shmat shmctl shmdt shmget
""".split()
_SOCKETS = ("bind", "connect", "listen", "socket")
_PROCESSES = ("get_robust_list", "pidfd_open", "pidfd_send_signal", "process_mrelease")

REFUSED = frozenset((*_ATTRIBUTES, *_WATCHES, *_IPC, *_SOCKETS, *_PROCESSES))

# The ioctls of terminals and pipes (0x54..); those of file systems change files that are only readable.
IOCTL_MASK, TERMINAL_IOCTLS = 0xFFFFFF00, 0x5400

# (argument, value): refused when the argument is anything else. 0 stands for the caller itself.
ONLY = {
    "ioprio_set": ((0, 1), (1, 0)),
    "prlimit64": ((0, 0),),
    "sched_setaffinity": ((0, 0),),
    "sched_setattr": ((0, 0),),
    "sched_setparam": ((0, 0),),
    "sched_setscheduler": ((0, 0),),
    "setpriority": ((0, 0), (1, 0)),
}

_ALL = 0xFFFFFFFF
_ACCESS_MODE, _TRUNCATE = 0o3, 0o1000
_F_SETOWN, _F_SETOWN_EX, _F_SETLEASE, _F_NOTIFY = 8, 15, 1024, 1026
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4

RESTRICTIONS = (
    # For reading and yet truncated: before its third version Landlock took this for reading.
    Restriction("open", ((1, _ACCESS_MODE | _TRUNCATE, _TRUNCATE),)),
    Restriction("openat", ((2, _ACCESS_MODE | _TRUNCATE, _TRUNCATE),)),
    # Neither reading nor writing, "for ioctl" (open(2), NOTES): Landlock takes this for nothing.
    Restriction("open", ((1, _ACCESS_MODE, _ACCESS_MODE),)),
    Restriction("openat", ((2, _ACCESS_MODE, _ACCESS_MODE),)),
    # Signals to a process of one's choice when a descriptor becomes ready; leases and notes hold up others.
    *(Restriction("fcntl", ((1, _ALL, c),)) for c in (_F_SETOWN, _F_SETOWN_EX, _F_SETLEASE, _F_NOTIFY)),
    # The server dies with init, whatever it thinks of that, and nobody hides from init in /proc.
    Restriction("prctl", ((0, _ALL, _PR_SET_PDEATHSIG),)),
    Restriction("prctl", ((0, _ALL, _PR_SET_DUMPABLE),)),
)
