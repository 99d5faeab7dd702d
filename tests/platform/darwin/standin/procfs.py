"""The process table of Linux in the shape that the keeper of macOS wants.

A stand-in: it knows a process's parent of now and not the one that forked it, and takes a private HOME in the
environment for the mark of a sandbox, which a server could leave behind. libproc and Seatbelt do neither.
"""

import os

from mcp_client.sandbox.darwin.table import Seen, Used

_TICKS, _PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


class ProcfsTable:
    def processes(self):
        uid = os.geteuid()
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    seen = self.look(int(name)) if os.stat(f"/proc/{name}").st_uid == uid else None
                except FileNotFoundError:
                    continue
                found += [] if seen is None else [seen]
        return found

    def look(self, pid):
        fields = _fields(pid)
        if fields is None or fields[0] == "Z":
            return None
        parent = _fields(int(fields[1]))
        return Seen(
            pid, _stamp(pid, fields), 0 if parent is None else _stamp(int(fields[1]), parent), int(fields[2])
        )

    def use(self, pid):
        fields = _fields(pid)
        if fields is None or fields[0] == "Z":
            return None
        user, system, children_user, children_system = (int(one) / _TICKS for one in fields[11:15])
        return Used(user + system, children_user + children_system, int(fields[21]) * _PAGE)

    def is_confined(self, pid, inside, outside):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                return f"HOME={inside}".encode() in file.read().split(b"\0")
        except OSError:
            return False


def _fields(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def _stamp(pid, fields):
    return int(fields[19]) << 24 | pid
