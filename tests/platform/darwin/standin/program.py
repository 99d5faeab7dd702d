"""``mcp`` with the sandbox of macOS on stand-ins; the path of the launcher's is in STAND_IN_LAUNCHER.

STAND_IN_SLOW is for how many seconds whoever forks a process stands still, as on a machine with much to do;
with STAND_IN_INTERRUPT signals reach the keeper while it looks at the processes.
"""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import procfs

from mcp_client.cli import main
from mcp_client.sandbox import backend
from mcp_client.sandbox.darwin.backend import DarwinBackend, Machine


class InterruptedTable(procfs.ProcfsTable):
    """It takes one look at a time, and every sixth one of a session's leader comes with a signal."""

    taken, looking = 0, False

    def processes(self):
        if self.looking:
            raise RuntimeError("two looks at once")
        self.looking = True
        self.taken += 1
        if self.taken % 6 == 0 and os.getsid(0) == os.getpid():
            signal.raise_signal(signal.SIGUSR1)
        found = super().processes()
        self.looking = False
        return found


slow = float(os.environ.pop("STAND_IN_SLOW", "0"))
fork = os.fork


def slow_fork():
    child = fork()
    time.sleep(slow if child else 0)
    return child


os.fork = slow_fork
table = procfs.ProcfsTable() if os.environ.pop("STAND_IN_INTERRUPT", None) is None else InterruptedTable()
machine = Machine(os.environ.pop("STAND_IN_LAUNCHER"), table)
backend.open_backend = lambda filters, *_: DarwinBackend(os.path.dirname(filters), machine)
# Only Linux builds before it is known for whom.
main._begin = lambda: None
sys.exit(main.main())
