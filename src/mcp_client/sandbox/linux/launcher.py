"""The supervisor's side of the launch: fork, map the user, wait until the world is built, let go."""

from __future__ import annotations

import errno
import gc
import os

from mcp_client.errors import EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, MCPError
from mcp_client.light import TYPE_CHECKING, signal
from mcp_client.sandbox.channel import ENDED, Channel, Event, Launched
from mcp_client.sandbox.linux import identity, libc
from mcp_client.sandbox.linux.orders import Orders
from mcp_client.sandbox.spec import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

    from mcp_client.sandbox.linux.cgroups import group as cgroup
    from mcp_client.sandbox.linux.enforcement import Obtained
    from mcp_client.sandbox.linux.exits import Exits
    from mcp_client.sandbox.linux.filters import Filters
    from mcp_client.sandbox.linux.ingress import Entrance
    from mcp_client.sandbox.spec import Control, ProcessExit, SandboxSpec


class LinuxProcess(Launched):
    """A server that is built but waits: exec happens at release().

    ``pid`` is the sandbox's init as the host sees it; its end is the end of everything inside. ``events``
    and ``diagnostics`` are descriptors to poll: what happens to the server, and its standard error. Where
    anything leads out, ``egress`` is a socket for the messages of egress.py; where the server listens,
    ``ingress`` is one for those of ingress.py.
    """

    _guardian = "init"
    _hint = "run 'mcp doctor'; an out-of-memory kill would be in the kernel's log"
    controls: tuple[Control, ...]
    egress: int | None
    ingress: int | None
    secret: str | None = None

    def __init__(self, spec: SandboxSpec, filters: Filters) -> None:
        """Fork and build the sandbox. Raises ``sandbox-unavailable`` or ``sandbox-setup-failed``."""
        # Before the fork: what another thread is importing meanwhile could never be imported in the child.
        from mcp_client.sandbox.linux import init  # noqa: F401

        self._spec = spec
        self._filters = filters
        if spec.way is None and spec.port is None:
            self._fork()
        else:
            # Most servers have neither, and load nothing of it.
            from mcp_client.sandbox.linux.passages import make_passages

            self._fork(*make_passages(spec))
        try:
            self._map_porter()
            self._meet_init()
            self._say()
            self._enter_group()
        except BaseException:
            self._abandon()
            raise

    def _fork(
        self,
        exits: Exits | None = None,
        egress: int | None = None,
        entrance: Entrance | None = None,
        ingress: int | None = None,
    ) -> None:
        """The child and the pipes between us; the rest is that of Passages."""
        libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
        setup_read, setup_write = os.pipe()
        events_read, events_write = os.pipe()
        control_read, control_write = os.pipe()
        diagnostics_read, diagnostics_write = os.pipe()
        os.set_blocking(diagnostics_read, False)
        self.egress, self.ingress = egress, ingress
        supervisor = os.getpid()
        # What is there now stays for good: a collector that looks at it would copy its pages in both.
        gc.freeze()
        child = os.fork()
        if child == 0:
            try:
                ours = (setup_read, events_read, control_write, diagnostics_read, self.egress, self.ingress)
                _close(ours)
                ends = (setup_write, events_write, control_read, diagnostics_write)
                channel = Channel(*ends, exits, entrance)
                self._run_child(channel, supervisor)
            finally:
                os._exit(1)
        _close((setup_write, events_write, control_read, diagnostics_write))
        for end in (exits, entrance):
            if end is not None:
                end.close()
        self._setup = setup_read
        self._control: int | None = control_write
        self._placement: cgroup.Placement | None = None
        self._group: cgroup.Group | None = None
        self.events = events_read
        self.diagnostics = diagnostics_read
        self.pid = child

    def _run_child(self, channel: Channel, supervisor: int) -> NoReturn:
        from mcp_client.sandbox.linux.init import run_child

        run_child(Orders(self._spec, self._filters), channel, supervisor)

    def _map_porter(self) -> None:
        """Let the forked child, which has left the host's namespaces, be somebody in them, and go on."""
        self._expect("unshared")
        _map_ids(self.pid)
        self._say()

    def _enter_group(self) -> None:
        """Wait until init stands in a group, if there is one to be had, and tell it what that holds."""
        # Here and below: what the child does not need is read while it is at work.
        from mcp_client.sandbox.linux.cgroups import group as cgroup
        from mcp_client.sandbox.linux.metering import HELD, most_tasks

        self._placement = cgroup.begin(self.pid, self._spec.limits, tasks=most_tasks(self._spec))
        self._place()
        self._say(0 if self._group is None else sum(HELD[name] for name in self._group.controllers))

    def _meet_init(self) -> None:
        """From the porter to the init that waits for the first word; ``pid`` is then its."""
        porter, self.pid = self.pid, int(self._expect("init")[0])
        os.waitpid(porter, 0)

    def _list_controls(self, obtained: Obtained) -> tuple[Control, ...]:
        from mcp_client.sandbox.linux.enforcement import list_controls

        return list_controls(self._spec, obtained)

    def await_ready(self) -> None:
        """Wait until all is applied and only exec is left; ``controls`` then says how far each holds.

        Raises like the constructor.
        """
        from mcp_client.sandbox.linux import landlock
        from mcp_client.sandbox.linux.cgroups.group import Group
        from mcp_client.sandbox.linux.enforcement import Obtained, may_observe_children

        try:
            (gated,) = self._expect("ready")
            if self._group is not None:
                self._group.retire(self.pid)
        except BaseException:
            self._abandon()
            raise
        placed = self._place()
        controllers = placed.controllers if isinstance(placed, Group) else frozenset()
        by = placed.mechanism if isinstance(placed, Group) else placed.reason
        mend = None if isinstance(placed, Group) else placed.mend
        version = landlock.interface_version()
        obtained = Obtained(version, gated == "1", controllers, by, mend, may_observe_children())
        self.controls = self._list_controls(obtained)

    def release(self) -> None:
        """Let the server execute. Raises ``entrypoint-missing`` or ``entrypoint-not-executable``."""
        try:
            self._say()
            line = self._read_line()
        except BaseException:
            self._abandon()
            raise
        if line is not None:
            self._abandon()
            self._raise_failure(line)
        os.close(self._setup)

    def signal(self, number: int) -> None:
        """Send a signal to the server, by way of init."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            # It ended by itself; collect() says how.
            return

    def kill(self) -> None:
        """End init and with it, by the kernel's hand, every process of the sandbox."""
        if self._group is not None:
            self._group.kill()
        self.signal(signal.SIGKILL)

    def collect(self) -> ProcessExit:
        """Reap after the event "ended", and tell how the server ended and what it used.

        Raises ``sandbox-failed`` where it was ended because init could not go on.
        """
        used = None if self._group is None else self._group.usage()
        # The word that init waits for; the end of init is the end of the namespace.
        self._hang_up()
        if self._last is None:
            self.kill()
        _, status, own = os.wait4(self.pid, 0)
        if self._group is not None:
            self._group.kill()
            self._group.remove()
        os.close(self.events)
        self._refuse_fault(status)
        last = self._last or Event(ENDED, status, own.ru_utime, own.ru_stime, own.ru_maxrss * 1024)
        usage = Usage(last.user_seconds, last.system_seconds, max(last.largest, last.tree))
        if used is not None:
            peak = usage.peak_memory if used.peak_memory is None else used.peak_memory
            usage = Usage(used.user_seconds, used.system_seconds, peak)
        oom = self._memory_exceeded or (used is not None and used.oom)
        return self._describe_end(last, usage, out_of_memory=oom)

    def _hang_up(self) -> None:
        if self._control is not None:
            os.close(self._control)
        self._control = None

    def _say(self, word: int = 0) -> None:
        if self._control is None:
            return
        try:
            os.write(self._control, bytes((word,)))
        except BrokenPipeError:
            # The child is gone; what it said before is on the setup pipe and is read next.
            return

    def _explain(self, stage: str, code: int, detail: str) -> MCPError:
        if stage == "exec" and code == errno.E2BIG:
            return MCPError(
                "env-refused",
                "the server's variables and arguments are too large",
                hint="one of them may have 128 KiB, all together a few MB (execve(2))",
            )
        if stage == "exec":
            missing = code == errno.ENOENT
            return MCPError(
                "entrypoint-missing" if missing else "entrypoint-not-executable",
                f"the server could not be executed: {detail}",
                hint="its interpreter or loader is missing inside the sandbox"
                if missing
                else "it may be built for another system, or lie where programs are not allowed",
                run_status=EXIT_NOT_FOUND if missing else EXIT_NOT_EXECUTABLE,
            )
        from mcp_client.sandbox.linux.refusals import explain

        return explain(stage, code, detail)

    def _place(self) -> cgroup.Group | cgroup.Refusal:
        from mcp_client.sandbox.linux.cgroups.group import Group, Placement

        if self._placement is None:
            self._placement = Placement()
        placed = self._placement.complete()
        if isinstance(placed, Group):
            self._group = placed
        return placed

    def _abandon(self) -> None:
        if self._placement is not None:
            self._place()
        self.kill()
        os.waitpid(self.pid, 0)
        if self._group is not None:
            self._group.remove()
        self._hang_up()
        _close((self._setup, self.events, self.diagnostics, self.egress, self.ingress))


def _close(descriptors: Iterable[int | None]) -> None:
    for descriptor in descriptors:
        if descriptor is not None:
            os.close(descriptor)


def _map_ids(porter: int) -> None:
    try:
        identity.map_ids(porter)
    except OSError as error:
        from mcp_client.sandbox.linux.refusals import explain

        raise explain("map the user", error.errno or 0, f"{error.filename}: {error.strerror}") from error
