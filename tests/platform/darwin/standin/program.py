"""``mcp`` with the sandbox of macOS on stand-ins; the path of the launcher's is in STAND_IN_LAUNCHER."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import procfs

from mcp_client.cli import main
from mcp_client.sandbox import backend
from mcp_client.sandbox.darwin.backend import DarwinBackend, Machine

machine = Machine(os.environ.pop("STAND_IN_LAUNCHER"), procfs.ProcfsTable())
backend.open_backend = lambda filters, *_: DarwinBackend(os.path.dirname(filters), machine)
# Only Linux builds before it is known for whom.
main._begin = lambda: None
sys.exit(main.main())
