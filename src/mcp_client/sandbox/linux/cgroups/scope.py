"""A transient scope with a delegated group, from the user's systemd or from the machine's."""

import os
import stat
import time

from mcp_client.sandbox.linux.cgroups.dbus import Call, Connection, Variant, Writer
from mcp_client.sandbox.linux.cgroups.hierarchy import CONTROLLERS, own_group

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
            self._serial = self._connection.send(_start_transient_unit(self.unit, pid))
        except BaseException:
            self._connection.close()
            raise

    def finish(self) -> str:
        """The scope's folder, once the process is in it. Raises OSError."""
        try:
            self._connection.finish(self._serial)
            return self._await_process()
        finally:
            self._connection.close()

    def _await_process(self) -> str:
        while not _has_ended(self._pid):
            group = own_group(self._pid)
            if group is not None and group.endswith(f"/{self.unit}"):
                return group
            if time.monotonic() > self._connection.deadline:
                # When it starts after all, it goes with its process.
                raise TimeoutError(0, "the scope did not start in time", "systemd")
            time.sleep(_LOOK_AGAIN_AFTER)
        # systemd does not notice that a scope is empty when it never was anything else.
        self._connection.finish(self._connection.send(_stop_unit(self.unit)))
        raise ProcessLookupError(0, "the process ended first", "systemd")


def _has_ended(child: int) -> bool:
    """Whether there is nothing left of it but its status."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _stop_unit(unit: str) -> Call:
    body = Writer()
    body.text(unit)
    body.text("replace")
    return Call(*_MANAGER, "StopUnit", "ss", bytes(body.data))


def _start_transient_unit(unit: str, pid: int) -> Call:
    body = Writer()
    body.text(unit)
    body.text("fail")
    body.properties(
        {
            "Description": Variant("s", "MCP server in its sandbox"),
            "PIDs": Variant("au", [pid]),
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
