"""A transient scope with a delegated group, from the user's systemd or from the machine's."""

from __future__ import annotations

import os
import time

from mcp_client.light import signal
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
_ASK_AGAIN_AFTER = 0.1
_ASK_FOR = 1.0


class ScopeRequest:
    """A scope that systemd was asked for, around one process."""

    def __init__(self, path: str, *, bus: bool, pid: int) -> None:
        """Send the request and do not wait. Raises OSError."""
        self.unit = f"mcp-{os.urandom(8).hex()}.scope"
        self._pid = pid
        self._connection = Connection(path, bus=bus, seconds=_SECONDS)
        try:
            self._stopper = Stopper(path, bus=bus, unit=self.unit)
            try:
                self._serial = self._connection.send(_start_transient_unit(self.unit, pid))
            except BaseException:
                self._stopper.dismiss()
                raise
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
            self._stopper.dismiss()

    def _await_process(self) -> str:
        while not _has_ended(self._pid):
            scope = _scope_of(self._pid, self.unit)
            if scope is not None:
                return scope
            if time.monotonic() > self._connection.deadline:
                # When it starts after all, it goes with its process.
                raise TimeoutError(0, "the scope did not start in time", "systemd")
            time.sleep(_LOOK_AGAIN_AFTER)
        self._connection.finish(self._connection.send(_stop_unit(self.unit)))
        raise ProcessLookupError(0, "the process ended first", "systemd")


class Stopper:
    """A process that stops the scope when the supervisor is killed before anybody entered it.

    systemd takes a scope down when it becomes empty, and one that nobody alive ever entered does not; the
    sandbox dies with its supervisor, at any moment.
    """

    def __init__(self, path: str, *, bus: bool, unit: str) -> None:
        """Fork it."""
        read, self._hold = os.pipe()
        self.pid = fork_apart((read,), lambda: _stop_after(read, path, bus=bus, unit=unit))
        os.close(read)

    def dismiss(self) -> None:
        """End it: from here on the scope goes by itself."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._hold)


def _stop_after(supervisor: int, path: str, *, bus: bool, unit: str) -> None:
    """Wait for the end of the supervisor, which holds the other end of the pipe, and stop its scope."""
    os.read(supervisor, 1)
    deadline = time.monotonic() + _ASK_FOR
    while time.monotonic() < deadline:
        try:
            connection = Connection(path, bus=bus, seconds=_SECONDS)
            connection.finish(connection.send(_stop_unit(unit)))
        except OSError:
            # Not asked for yet, or gone already: nobody can tell which.
            time.sleep(_ASK_AGAIN_AFTER)
        else:
            return


def _scope_of(pid: int | str, unit: str) -> str | None:
    group = own_group(pid)
    return group if group is not None and group.endswith(f"/{unit}") else None


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
