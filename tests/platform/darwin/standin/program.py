"""``mcp`` with the sandbox of macOS on stand-ins; the path of the launcher's is in STAND_IN_LAUNCHER.

STAND_IN_SLOW is for how many seconds whoever forks a process stands still, as on a machine with much to do.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import procfs

from mcp_client.cli import main
from mcp_client.sandbox import backend
from mcp_client.sandbox.darwin.backend import DarwinBackend, Machine

slow = float(os.environ.pop("STAND_IN_SLOW", "0"))
fork = os.fork


def slow_fork():
    child = fork()
    time.sleep(slow if child else 0)
    return child


os.fork = slow_fork
machine = Machine(os.environ.pop("STAND_IN_LAUNCHER"), procfs.ProcfsTable())
backend.open_backend = lambda filters, *_: DarwinBackend(os.path.dirname(filters), machine)
# Only Linux builds before it is known for whom.
main._begin = lambda: None
sys.exit(main.main())
