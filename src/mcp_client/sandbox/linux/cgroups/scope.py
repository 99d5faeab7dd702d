"""A transient scope with a delegated group, from the user's systemd or from the machine's."""

import os
import signal
import stat
import time

from mcp_client.sandbox.linux.cgroups.dbus import Call, Connection, Variant, Writer
from mcp_client.sandbox.linux.cgroups.hierarchy import CONTROLLERS, own_group
from mcp_client.sandbox.linux.cgroups.janitor import fork_apart

_MANAGER = (
    "org.freedesktop.systemd1",
    "/org/freedesktop/systemd1",
    "org.freedesktop.systemd1.Manager",
)
# For all of it. A machine under load takes a second; only a broken one takes longer.
_SECONDS = 4.0
_LOOK_AGAIN_AFTER = 0.0005


def find_sockets() -> tuple[tuple[str, bool], ...]:
    """Sockets to try, and whether each is a bus; the environment is not asked: MCP clients pass little on."""
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


class ScopeRequest:
    """A scope that systemd was asked for, around one process."""

    def __init__(self, path: str, *, bus: bool, pid: int) -> None:
        """Send the request and do not wait. Raises OSError."""
        self.unit = f"mcp-{os.urandom(8).hex()}.scope"
        self._pid = pid
        self._connection = Connection(path, bus=bus, seconds=_SECONDS)
        try:
            self._placeholder = Placeholder(self.unit)
            try:
                pids = [pid, self._placeholder.pid]
                self._serial = self._connection.send(_start_transient_unit(self.unit, pids))
            except BaseException:
                self._placeholder.dismiss()
                raise
        except BaseException:
            self._connection.close()
            raise

    def finish(self) -> str:
        """The scope's folder, once the process stands in it alone. Raises OSError."""
        try:
            self._connection.finish(self._serial)
            return self._await_process()
        finally:
            self._connection.close()
            self._placeholder.dismiss()

    def _await_process(self) -> str:
        """Of both: systemd takes a scope for failed when one of its processes is gone too early."""
        while time.monotonic() < self._connection.deadline:
            if _scope_of(self._placeholder.pid, self.unit) is not None:
                scope = _scope_of(self._pid, self.unit)
                if scope is not None:
                    return scope
                if _has_ended(self._pid):
                    raise ProcessLookupError(0, "the process ended first", "systemd")
            time.sleep(_LOOK_AGAIN_AFTER)
        raise TimeoutError(0, "the scope did not start in time", "systemd")


class Placeholder:
    """A process that enters the scope as well, so that it cannot stay for ever.

    systemd takes a scope down when it becomes empty, which it does not when nobody alive ever entered: a
    sandbox dies with its supervisor, at any moment. This one does not.
    """

    def __init__(self, unit: str) -> None:
        """Fork it."""
        read, self._hold = os.pipe()
        self.pid = fork_apart((read,), lambda: _outlive(read, unit))
        os.close(read)

    def dismiss(self) -> None:
        """End it."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._hold)


def _outlive(supervisor: int, unit: str) -> None:
    """Wait for the end of the supervisor, which holds the other end of the pipe, and then for the scope."""
    os.read(supervisor, 1)
    deadline = time.monotonic() + _SECONDS
    while _scope_of("self", unit) is None and time.monotonic() < deadline:
        time.sleep(_LOOK_AGAIN_AFTER)


def _scope_of(pid: int | str, unit: str) -> str | None:
    group = own_group(pid)
    return group if group is not None and group.endswith(f"/{unit}") else None


def _has_ended(child: int) -> bool:
    """Whether there is nothing left of it but its status."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _start_transient_unit(unit: str, pids: list[int]) -> Call:
    body = Writer()
    body.text(unit)
    body.text("fail")
    body.properties(
        {
            "Description": Variant("s", "MCP server in its sandbox"),
            "PIDs": Variant("au", pids),
            "DelegateControllers": Variant("as", sorted(CONTROLLERS)),
            "CollectMode": Variant("s", "inactive-or-failed"),
            "CPUAccounting": Variant("b", True),
            "MemoryAccounting": Variant("b", True),
            "TasksAccounting": Variant("b", True),
        }
    )
    # No auxiliary units: an empty a(sa(sv)).
    body.end_array(body.begin_array(8))
    return Call(*_MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", bytes(body.data))
