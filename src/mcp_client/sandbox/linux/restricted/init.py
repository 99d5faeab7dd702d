"""The child's side of a launch without namespaces: from a plain fork to the server's first instruction.

Two processes take part. The *init* is a child of the supervisor and the subreaper of all that the server
leaves behind; the *server* is its child. Init outlives all of them: it ends them when the server ends, and
when the supervisor is gone, which it notices by its end of the control pipe.
"""

import errno
import os
import resource
import signal
from collections.abc import Iterable, Mapping
from typing import NoReturn

from mcp_client.sandbox.channel import FORWARDED_SIGNALS, Channel, await_word, step
from mcp_client.sandbox.linux import landlock, libc, privileges
from mcp_client.sandbox.linux.filters import Filters
from mcp_client.sandbox.linux.identity import UNPRIVILEGED_ID
from mcp_client.sandbox.linux.init import (
    fork_server,
    hung_up,
    keep_server,
    offer_to_the_oom_killer,
    run_steps,
)
from mcp_client.sandbox.linux.restricted import signals
from mcp_client.sandbox.linux.restricted.descendants import Descendants
from mcp_client.sandbox.linux.server import Confinement
from mcp_client.sandbox.spec import Bind, SandboxSpec

# The last one is the supervisor's, to pass signals on.
_TO_CHANGE_USER = (
    privileges.CAP_CHOWN,
    privileges.CAP_SETGID,
    privileges.CAP_SETUID,
    privileges.CAP_KILL,
)


def run_child(
    spec: SandboxSpec, filters: Filters, channel: Channel, supervisor: int, scratch: str
) -> NoReturn:
    """Entered right after the fork; never returns. ``scratch`` is the server's private folder."""
    run_steps(lambda: _become_init(spec, filters, channel, supervisor, scratch), channel)


def _become_init(
    spec: SandboxSpec, filters: Filters, channel: Channel, supervisor: int, scratch: str
) -> None:
    with step("die with the supervisor"):
        os.setsid()
        if os.getppid() != supervisor or hung_up(channel.control):
            raise ProcessLookupError(errno.ESRCH, "the supervisor is gone")
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED_SIGNALS)
    with step("adopt what the server leaves behind"):
        libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    with step("become an unprivileged user"):
        os.umask(0o077)
        lockable = privileges.holds(privileges.CAP_SETPCAP)
        user = _choose_user(spec, scratch)
        _leave_groups()
        if lockable:
            privileges.lock_meaning_of_root()
        if user != os.geteuid():
            os.chown(scratch, user, user)
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
    with step("drop privileges"):
        privileges.drop_privileges(bounding=lockable)
        libc.prctl(libc.PR_SET_DUMPABLE, 0)
    with step("report init"):
        os.write(channel.setup, f"init\t{user}\n".encode())
        # Once for the start of the group, once when we are in it.
        await_word(channel.control)
        held = await_word(channel.control)
    server, gate = fork_server(spec, filters, channel, held, RestrictedConfinement(spec, os.getpid()))
    family = Descendants(server, alone=not spec.subprocess)
    try:
        with step("hold the server's files in /proc"):
            kept = _hold_proc(spec, server)
        keep_server(spec, channel, (server, gate), held, family, null, kept)
    except BaseException:
        # Whatever went wrong: nobody outlives us.
        family.end()
        raise


def _leave_groups() -> None:
    """As far as it is allowed: a user namespace around us may have ruled it out (user_namespaces(7))."""
    if not privileges.holds(privileges.CAP_SETGID):
        return
    try:
        os.setgroups([])
    except PermissionError:
        with open("/proc/self/setgroups", encoding="utf-8") as file:
            if file.read().strip() != "deny":
                raise


def _choose_user(spec: SandboxSpec, scratch: str) -> int:
    """Root becomes the unprivileged id where that id exists and can use all that the server needs."""
    if os.geteuid() != 0 or not privileges.holds(*_TO_CHANGE_USER):
        return os.geteuid()
    try:
        os.setresgid(-1, UNPRIVILEGED_ID, -1)
        os.setresuid(-1, UNPRIVILEGED_ID, -1)
        usable = os.access(spec.argv[0], os.X_OK, effective_ids=True) and all(
            _usable(operation, scratch) for operation in spec.mounts if isinstance(operation, Bind)
        )
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # Not mapped in the user namespace around us.
        usable = False
    finally:
        os.setresuid(-1, 0, -1)
        os.setresgid(-1, 0, -1)
    return UNPRIVILEGED_ID if usable else 0


def _usable(bind: Bind, scratch: str) -> bool:
    if bind.source.startswith("/proc/"):
        return True
    if bind.source == scratch:
        # It will change its owner.
        return os.access(os.path.dirname(scratch), os.X_OK, effective_ids=True)
    mode = os.R_OK | (os.W_OK if bind.writable else 0)
    return os.access(bind.source, mode, effective_ids=True)


def _hold_proc(spec: SandboxSpec, server: int) -> list[int]:
    """Descriptors that keep what Landlock's rules point at: the kernel may forget unused entries of /proc.

    A rule is bound to the inode, and an entry that is looked up anew would have another one.
    """
    held = []
    for operation in spec.mounts:
        if isinstance(operation, Bind) and operation.source.startswith("/proc/"):
            path = operation.source.replace("/proc/self/", f"/proc/{server}/")
            try:
                held.append(os.open(path, os.O_PATH | os.O_CLOEXEC))
            except FileNotFoundError:
                # Hidden from us (proc(5), hidepid), or the server has ended already.
                continue
    return held


class RestrictedConfinement(Confinement):
    """What the server does to itself when no namespace surrounds it."""

    def __init__(self, spec: SandboxSpec, init: int) -> None:
        """``init`` is the process id of the parent."""
        self._binds = [operation for operation in spec.mounts if isinstance(operation, Bind)]
        self._init = init
        self._version = landlock.interface_version()

    def begin(self) -> None:
        """Die with init, and before it when memory runs out."""
        with step("die with init"):
            libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != self._init:
                raise ProcessLookupError(errno.ESRCH, "init is gone")
        with step("offer the server first when memory runs out"):
            # Writing to /proc/self belongs to the dumpable, which the server is again after its exec.
            libc.prctl(libc.PR_SET_DUMPABLE, 1)
            offer_to_the_oom_killer()
            libc.prctl(libc.PR_SET_DUMPABLE, 0)

    def limits(self, spec: SandboxSpec, held: int) -> Mapping[int, int]:
        """Without RLIMIT_NPROC, which would count all of the user's processes."""
        found = dict(super().limits(spec, held))
        del found[resource.RLIMIT_NPROC]
        return found

    def restrict_files(self) -> None:
        """Only what the plan names."""
        landlock.restrict_to(self._binds, self._version)

    def more_filters(self) -> Iterable[bytes]:
        """What Landlock cannot do yet: confine signals."""
        if self._version < landlock.SIGNALS_SCOPED_SINCE:
            yield signals.only_itself(os.getpid())
