"""The server and everything that descends from it, wherever it went.

macOS has neither a pid namespace nor a subreaper: who loses its parent becomes a child of launchd, and
setsid(2) leaves the process group. A process is a member when a member forked it, when it is in the server's
group, or when it lives in this run's sandbox, which nobody can leave and nobody else is in.
"""

import os
import signal
import time

from mcp_client.sandbox.darwin.table import ProcessTable, Seen

_PATIENCE_SECONDS = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05


class Family:
    """Members by their unique ids. A number may belong to a stranger by the time it is used."""

    def __init__(self, table: ProcessTable, server: int, mark: tuple[str, str], *, alone: bool) -> None:
        """``mark`` are a folder only this sandbox may write, and one that it may not.

        ``alone`` when the sandbox lets nobody fork.
        """
        self._table = table
        self._server = server
        self._mark = mark
        self._alone = alone
        founder = table.look(server)
        # Those of the last look: whoever was forked by one that is gone by now is found by this one.
        self._known = {founder.unique} if founder is not None else set()
        self._strangers: set[int] = set()

    def members(self) -> list[Seen]:
        """Everybody who lives now."""
        if self._alone:
            one = self._table.look(self._server)
            return [one] if one is not None and one.unique in self._known else []
        processes = self._table.processes()
        family = {
            process.unique: process
            for process in processes
            if process.unique in self._known or process.group == self._server or self._is_marked(process)
        }
        known = self._known | set(family)
        grown = True
        while grown:
            grown = False
            for process in processes:
                if process.unique not in family and process.parent in known:
                    family[process.unique] = process
                    known.add(process.unique)
                    grown = True
        self._known = set(family)
        self._strangers = {process.unique for process in processes} - self._known
        return list(family.values())

    def signal(self, number: int) -> None:
        """To each of them."""
        for member in self.members():
            self._send(member, number)

    def end(self) -> bool:
        """Kill them all; False when somebody is left who cannot be killed.

        They are stopped first: who is stopped forks nobody while the others are looked for.
        """
        stopped: set[int] = set()
        until = time.monotonic() + _PATIENCE_SECONDS
        pause = _FIRST_PAUSE
        while members := self.members():
            new = [member for member in members if member.unique not in stopped]
            if new:
                for member in new:
                    self._send(member, signal.SIGSTOP)
                    stopped.add(member.unique)
                continue
            for member in members:
                self._send(member, signal.SIGKILL)
            if time.monotonic() >= until:
                return False
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return True

    def _is_marked(self, process: Seen) -> bool:
        # A process enters a sandbox at most once, so that one look at each of the others is enough; but one
        # that was seen between its fork from us and its exec is in none yet.
        return process.unique not in self._strangers and self._table.is_confined(process.pid, *self._mark)

    def _send(self, member: Seen, number: int) -> None:
        again = self._table.look(member.pid)
        if again is None or again.unique != member.unique:
            return
        try:
            os.kill(member.pid, number)
        except (ProcessLookupError, PermissionError):
            # It ended, or became another user's by a set-id program, which the sandbox refuses.
            return
