"""The system calls a server may make, as data.

An allowlist: what is not named here does not exist for the server (ENOSYS), so a system call that a future
kernel adds is closed until somebody looked at it. Left out on purpose: namespaces and mounts, other
processes' memory (ptrace, process_vm_*, pidfd_getfd, kcmp), kernel programs and events (bpf,
perf_event_open, userfaultfd, io_uring), old asynchronous I/O (one quota for the whole machine), keys,
modules, clocks, swap, quotas, and file handles. clone3 and openat2 take their flags by pointer, where no
filter can see them; callers fall back.
"""

from __future__ import annotations

from mcp_client.light import NamedTuple

FILES = """
    access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
    fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr
    flock fremovexattr fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch lchown lgetxattr link linkat listxattr
    llistxattr lremovexattr lseek lsetxattr lstat mkdir mkdirat mknod mknodat newfstatat open openat pread64
    preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr rename
    renameat renameat2 rmdir sendfile setxattr splice stat statfs statx symlink symlinkat sync
    sync_file_range syncfs tee truncate umask unlink unlinkat utime utimensat utimes vmsplice write writev
""".split()

MEMORY = """
    brk cachestat get_mempolicy madvise map_shadow_stack mbind membarrier memfd_create mincore mlock mlock2
    mlockall mmap mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect
    remap_file_pages set_mempolicy set_mempolicy_home_node
""".split()

PROCESSES = """
    arch_prctl capget execve execveat exit exit_group get_robust_list get_thread_area getcpu getegid geteuid
    getgid getgroups getpgid getpgrp getpid getppid getpriority getresgid getresuid getrlimit getrusage getsid
    gettid getuid ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self
    modify_ldt pidfd_open pidfd_send_signal prctl prlimit64 process_mrelease restart_syscall rseq
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
    sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam
    sched_setscheduler sched_yield seccomp set_robust_list set_thread_area set_tid_address setfsgid setfsuid
    setgid setgroups setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setuid
    sigaltstack sysinfo tgkill times tkill uname wait4 waitid
""".split()

TIME_AND_EVENTS = """
    alarm clock_getres clock_gettime clock_nanosleep epoll_create epoll_create1 epoll_ctl epoll_pwait
    epoll_pwait2 epoll_wait eventfd eventfd2 futex futex_requeue futex_wait futex_waitv futex_wake getitimer
    getrandom gettimeofday nanosleep pause pipe pipe2 poll ppoll pselect6 select setitimer signalfd signalfd4
    time timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create
    timerfd_gettime timerfd_settime
""".split()

COMMUNICATION = """
    accept accept4 bind connect getpeername getsockname getsockopt ioctl listen mq_getsetattr mq_notify
    mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd recvfrom recvmmsg recvmsg
    semctl semget semop semtimedop sendmmsg sendmsg sendto setsockopt shmat shmctl shmdt shmget shutdown
""".split()

ALLOWED = (*FILES, *MEMORY, *PROCESSES, *TIME_AND_EVENTS, *COMMUNICATION)

FORKS = ("fork", "vfork")
EXECUTIONS = ("execve", "execveat")

CLONE_THREAD = 0x00010000
# A child of init's instead of the caller's own.
CLONE_PARENT = 0x00008000
# clone(2): new mount, cgroup, uts, ipc, user, pid and network namespaces; CLONE_NEWTIME is clone3's alone.
CLONE_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000

# AF_UNIX, AF_INET, AF_INET6. AF_VSOCK and others are not bound to a network namespace.
SOCKET_FAMILIES = (1, 2, 10)
AF_UNIX = 1
# SOCK_STREAM and SOCK_SEQPACKET: a datagram can be sent to any address, connected or not.
CONNECTED_TYPES = (1, 5)
SOCKET_TYPE_MASK = 0xF
AF_NETLINK = 16
NETLINK_ROUTE = 0

# PER_LINUX, PER_LINUX32 and the query; ADDR_NO_RANDOMIZE and READ_IMPLIES_EXEC stay closed.
PERSONALITIES = (0x0, 0x8, 0xFFFFFFFF)


class Restriction(NamedTuple):
    """Deny ``syscall`` with EPERM when every (argument, mask, value) matches in its lower 32 bits."""

    syscall: str
    conditions: tuple[tuple[int, int, int], ...]


_ALL = 0xFFFFFFFF
_SETUID, _SETGID = 0o4000, 0o2000
_CREATE, _TEMPORARY = 0o100, 0o20000000
_SECCOMP_NEW_LISTENER = 1 << 3


def _mode_restrictions() -> list[Restriction]:
    """No file with a setuid or setgid bit may come into being: it would outlive the sandbox."""
    found = []
    for bit in (_SETUID, _SETGID):
        mode = (bit, bit)
        for syscall, argument in (
            ("chmod", 1),
            ("fchmod", 1),
            ("fchmodat", 2),
            ("fchmodat2", 2),
            ("mkdir", 1),
            ("mkdirat", 2),
            ("mknod", 1),
            ("mknodat", 2),
            ("creat", 1),
        ):
            found.append(Restriction(syscall, ((argument, *mode),)))
        for flag in (_CREATE, _TEMPORARY):
            found.append(Restriction("open", ((1, flag, flag), (2, *mode))))
            found.append(Restriction("openat", ((2, flag, flag), (3, *mode))))
    return found


def _keeper_restrictions() -> list[Restriction]:
    """Process 1, which keeps the gate and the limits, is of the same user: nobody slows it down."""
    keeper = (0, _ALL, 1)
    calls = ("prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler")
    found = [Restriction(call, (keeper,)) for call in calls]
    # By its number, or all of the user's at once (setpriority(2), ioprio_set(2)).
    for call, one, everyone in (("setpriority", 0, 2), ("ioprio_set", 1, 3)):
        found.append(Restriction(call, ((0, _ALL, one), (1, _ALL, 1))))
        found.append(Restriction(call, ((0, _ALL, everyone),)))
    return found


RESTRICTIONS = (
    *_mode_restrictions(),
    # Typing into the terminal that the server may share with its user (CVE-2017-5226).
    Restriction("ioctl", ((1, _ALL, 0x5412),)),
    Restriction("ioctl", ((1, _ALL, 0x541C),)),
    # Changing the line discipline loads kernel code on demand.
    Restriction("ioctl", ((1, _ALL, 0x5423),)),
    Restriction("seccomp", ((1, _SECCOMP_NEW_LISTENER, _SECCOMP_NEW_LISTENER),)),
    *_keeper_restrictions(),
)

# For a server that holds a socket of its client's: the ioctls of network interfaces (0x8910 to 0x89ff,
# netdevice(7)) answer for the namespace a socket was made in, which is the host's. Java needs them, so a
# server that talks through pipes keeps them.
FOREIGN_SOCKET_RESTRICTIONS = tuple(
    Restriction("ioctl", ((1, 0xFFFFFFF0, request),)) for request in range(0x8910, 0x8A00, 0x10)
)
