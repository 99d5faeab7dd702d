"""The group of one server: its limits, its figures, its end (cgroups(7)).

Below the group are two leaves. ``server`` holds the server and its children, and has the limits on memory
and tasks. ``init`` holds pid 1 of the sandbox, outside of them, so that it can report. The limit on the
processor is the group's own: what init does for the server counts as the server's.
"""

from __future__ import annotations

import os
import stat

from mcp_client.light import TYPE_CHECKING, NamedTuple
from mcp_client.sandbox.linux.cgroups.delegated import make_group
from mcp_client.sandbox.linux.cgroups.hierarchy import (
    CONTROLLERS,
    MOUNT,
    available,
    own_group,
    pass_on,
    read_file,
    write_file,
)
from mcp_client.sandbox.linux.cgroups.janitor import kill_group

if TYPE_CHECKING:
    from mcp_client.policy.model import Limits
    from mcp_client.sandbox.linux.cgroups.janitor import Janitor
    from mcp_client.sandbox.linux.cgroups.scope import ScopeRequest

_PERIOD = 100_000
_DELEGATE = (
    "log in through systemd, or 'loginctl enable-linger', or set Delegate=yes for the unit around mcp; "
    "in a container: a writable /sys/fs/cgroup with mcp alone in its cgroup"
)
_BOOT = "boot with the unified hierarchy: systemd.unified_cgroup_hierarchy=1 on the kernel's command line"


class Refusal(NamedTuple):
    """Why there is no group on this host, and how to mend it."""

    reason: str
    mend: str


class GroupUsage(NamedTuple):
    """Seconds and bytes; ``peak_memory`` is None before Linux 5.19, ``oom`` when its own limit ended it."""

    peak_memory: int | None
    user_seconds: float
    system_seconds: float
    oom: bool


class Group:
    """A group around a sandbox; ``controllers`` are those whose limit was written and read back."""

    def __init__(self, folder: str, mechanism: str, janitor: Janitor | None) -> None:
        """``folder`` exists and is empty; ``janitor`` removes it where systemd does not."""
        self.mechanism = mechanism
        self.controllers: frozenset[str] = frozenset()
        self._folder = folder
        self._server, self._init = f"{folder}/server", f"{folder}/init"
        self._janitor = janitor

    def admit(self, pid: int, limits: Limits, tasks: int) -> None:
        """Make the leaves, put ``pid`` where the server is to be, and write the limits. Raises OSError.

        Controllers come last: a group with processes and controllers is one in which nothing can be nested.
        """
        for leaf in (self._server, self._init):
            os.mkdir(leaf)
        write_file(self._server, "cgroup.procs", str(pid))
        pass_on(os.path.dirname(self._folder), CONTROLLERS)
        pass_on(self._folder, CONTROLLERS - {"cpu"})
        held = set()
        if "memory" in available(self._server) and self._limit_memory(limits.memory):
            held.add("memory")
        if "pids" in available(self._server) and _limit(self._server, "pids.max", str(tasks)):
            held.add("pids")
        quota = f"{max(1000, limits.cpu * _PERIOD // 1000)} {_PERIOD}"
        if "cpu" in available(self._folder) and _limit(self._folder, "cpu.max", quota):
            held.add("cpu")
        self.controllers = frozenset(held)
        if not held:
            self.mechanism = f"{self.mechanism} without controllers"

    def retire(self, pid: int) -> None:
        """Move init out of the server's limits, once the server exists. Raises OSError."""
        write_file(self._init, "cgroup.procs", str(pid))

    def kill(self) -> None:
        """End everything in the group at once."""
        kill_group(self._folder)

    def usage(self) -> GroupUsage:
        """The server's figures; to be read before the last process of the group ends."""
        peak = read_file(self._server, "memory.peak").strip()
        time = _numbers(read_file(self._server, "cpu.stat"))
        events = _numbers(read_file(self._server, "memory.events"))
        return GroupUsage(
            peak_memory=int(peak) if peak else None,
            user_seconds=time.get("user_usec", 0) / 1e6,
            system_seconds=time.get("system_usec", 0) / 1e6,
            # A kill alone may be for the sake of a group above, or of the whole machine.
            oom=events.get("oom_kill", 0) > 0 and events.get("oom", 0) > 0,
        )

    def remove(self) -> None:
        """Take it down once everything in it is dead; a scope goes by itself."""
        if self._janitor is not None:
            self._janitor.sweep()

    def _limit_memory(self, size: int) -> bool:
        """No swap, which would only make it slow, and one end for all."""
        if os.path.exists(f"{self._server}/memory.swap.max") and not _limit(
            self._server, "memory.swap.max", "0"
        ):
            return False
        page = os.sysconf("SC_PAGE_SIZE")
        return _limit(self._server, "memory.oom.group", "1") and _limit(
            self._server, "memory.max", str(size // page * page)
        )


class Placement:
    """A group in the making, or none: the host has no place for one."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._result: Group | Refusal | None = None

    def complete(self) -> Group | Refusal:
        """Wait until the process stands in it, with the limits in place; the answer stays the same."""
        if self._result is None:
            self._result = self._place()
        return self._result

    def _place(self) -> Group | Refusal:
        return Refusal("no cgroup v2 on this host", _BOOT)


class _Begun(Placement):
    """A group in the making around one process."""

    def __init__(self, pid: int, limits: Limits, tasks: int, own: str, request: ScopeRequest | None) -> None:
        """``own`` is the group that we stand in, ``request`` a scope that is under way."""
        super().__init__()
        self._own = own
        self._pid, self._limits, self._tasks = pid, limits, tasks
        self._request = request

    def _place(self) -> Group | Refusal:
        reason = ""
        if self._request is not None:
            try:
                scope = self._request.finish()
                os.mkdir(f"{scope}/sandbox")
                return self._admitted(Group(f"{scope}/sandbox", "cgroup in a systemd scope", None))
            except OSError as error:
                reason = f": systemd: {error.strerror or error}"
        try:
            own = make_group(self._pid, self._own, MOUNT)
        except OSError as error:
            return Refusal(f"no janitor for a cgroup: {error.strerror}", _DELEGATE)
        if own is None:
            return Refusal(f"no cgroup is delegated to this user{reason}", _DELEGATE)
        try:
            return self._admitted(Group(own.folder, "own cgroup", own.janitor))
        except OSError as error:
            own.janitor.sweep()
            return Refusal(f"a cgroup of our own is refused: {error.strerror or error}", _DELEGATE)

    def _admitted(self, group: Group) -> Group:
        group.admit(self._pid, self._limits, self._tasks)
        return group


def begin(pid: int, limits: Limits, *, tasks: int) -> Placement:
    """Begin to make a group around the process ``pid``, which is to fork the server later.

    ``tasks`` bounds processes and threads together. Nothing is raised: complete() says what came of it.
    """
    own = own_group()
    if own is None or not available(MOUNT):
        return Placement()
    for path, bus in _find_sockets():
        # Where systemd is not there to be asked, nothing of how to ask it is read.
        from mcp_client.sandbox.linux.cgroups.scope import ScopeRequest

        try:
            return _Begun(pid, limits, tasks, own, ScopeRequest(path, bus=bus, pid=pid))
        except OSError:
            continue
    return _Begun(pid, limits, tasks, own, None)


def _find_sockets() -> tuple[tuple[str, bool], ...]:
    """Where to ask systemd, and whether that is a bus. MCP clients pass no environment on that would tell."""
    uid = os.geteuid()
    if uid == 0:
        places = (("/run/dbus/system_bus_socket", True), ("/run/systemd/private", False))
    else:
        places = ((f"/run/user/{uid}/bus", True), (f"/run/user/{uid}/systemd/private", False))
    return tuple(place for place in places if _is_socket(place[0]))


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def _limit(group: str, name: str, value: str) -> bool:
    """Write a limit and believe what is read back."""
    try:
        write_file(group, name, value)
    except OSError:
        return False
    return read_file(group, name).strip() == value


def _numbers(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in text.splitlines())}
